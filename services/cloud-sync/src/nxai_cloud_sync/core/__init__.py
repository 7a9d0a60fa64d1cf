"""Pure: what to import, keep, send, promote and roll back; no I/O, no clock, no logging."""
