"""What tests of accounts share: clocks whose hands they turn, and a hasher that counts."""

from datetime import UTC, datetime, timedelta

from nxai_manager.adapters.password_hash import Argon2Hasher


class BoxTime:
    """Both clocks of the box."""

    def __init__(self) -> None:
        self.passed = timedelta()

    def now(self) -> datetime:
        return datetime(2026, 11, 22, 12, 0, tzinfo=UTC) + self.passed

    def monotonic(self) -> float:
        return self.passed.total_seconds()

    def pass_by(self, seconds: float) -> None:
        self.passed += timedelta(seconds=seconds)


class CountedHasher(Argon2Hasher):
    """The real one with little memory, which counts its work."""

    def __init__(self, *, passes: int = 1) -> None:
        super().__init__(memory_kib=64, passes=passes)
        self.looked_at: list[bool] = []
        """Of each comparison: whether there was a user to compare with."""
        self.fail: Exception | None = None

    def fits_here(self, hashed: str | None, password: str) -> bool:
        if self.fail is not None:
            raise self.fail
        self.looked_at.append(hashed is not None)
        return super().fits_here(hashed, password)
