"""Pure: what results mean for the outside. No I/O, no clock, no logging."""
