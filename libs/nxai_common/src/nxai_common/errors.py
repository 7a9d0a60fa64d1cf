"""Errors, named by the reaction they call for.

```
NxaiError
├── ConfigurationError    exit 2; the message says what to change
├── TransientError        back off with jitter, try again
│   ├── BrokerUnavailable
│   ├── CameraUnavailable
│   └── CloudUnavailable
└── RejectedError         this one will never succeed: count it, show it, go on
    ├── InvalidPayload
    └── CloudRejected
        └── KeyRefused
```

A library's own exceptions are translated into these in the one adapter that wraps it.
"""


class NxaiError(Exception):
    """Base of every error that this project raises on purpose."""


class ConfigurationError(NxaiError):
    """Something a person set is wrong; the message names the value and what to change."""


class TransientError(NxaiError):
    """The world is in the way for now; back off with jitter and try again."""


class BrokerUnavailable(TransientError):  # noqa: N818 - named for the state, not the exception
    """The MQTT broker cannot be reached or refused the connection."""


class CameraUnavailable(TransientError):  # noqa: N818 - named for the state
    """A camera gives no pictures; the message is the reason shown to a person."""


class CloudUnavailable(TransientError):  # noqa: N818 - named for the state
    """Edge Impulse cannot be reached for now."""

    retry_after_s: float | None = None
    """Set when the server said how long to wait."""


class RejectedError(NxaiError):
    """This very thing will never succeed; keep it where a person can see it and go on."""


class InvalidPayload(RejectedError):  # noqa: N818 - named for the thing refused
    """A message does not keep its contract."""


class CloudRejected(RejectedError):  # noqa: N818 - named for the thing refused
    """Edge Impulse refused this item for good."""


class KeyRefused(CloudRejected):
    """Edge Impulse refused the API key: nothing will work until a person acts."""

    revision: str = ""
    """Of the key that was refused; empty: it is the one that is kept."""
