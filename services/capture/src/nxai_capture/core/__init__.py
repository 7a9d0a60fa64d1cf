"""Decisions and pixels: no I/O, no clock, no logging."""
