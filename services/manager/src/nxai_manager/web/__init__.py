"""The HTTP side: the page, the REST interface and the live WebSocket, over the bus to the rest."""
