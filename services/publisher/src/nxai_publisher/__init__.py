"""Results in, the outside world out: MQTT outputs, camera states, events, data logger."""
