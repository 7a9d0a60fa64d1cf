"""What a scrape of `/metrics` is made from."""

from dataclasses import dataclass

from nxai_common.contracts.status import Status


@dataclass(frozen=True, slots=True)
class Seen:
    """What a scrape shows."""

    status: Status
    age_s: float
    """Since the status was looked at."""
    heartbeat_age_s: float
    """Since the service's loop last said that it turns; infinite before it first did."""
    connected: bool
    """To the broker."""
