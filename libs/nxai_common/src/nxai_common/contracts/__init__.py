"""Every message on the bus, one module a noun.

A message class owns its topic and its policy; `bus.publish(message)` needs nothing else.
Readers ignore fields they do not know; an incompatible change is a new topic root.
"""
