"""Contracts, bus, settings and runtime shared by the nxai-edge services."""

__version__ = "0.1.0"
