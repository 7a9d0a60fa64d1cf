"""The bus: typed messages over MQTT 5, or in memory."""
