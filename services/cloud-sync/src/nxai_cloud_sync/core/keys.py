"""What can be said of an API key without telling it."""

import hashlib


def key_revision(key: str) -> str:
    """Return a text that changes with the key and says nothing about it.

    A key is 256 random bits: its hash can be shown to anybody.
    """
    return hashlib.sha256(f"key revision of {key}".encode()).hexdigest()
