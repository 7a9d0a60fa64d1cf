"""Who asks: sessions and tokens, as the safety checks of the server need them."""

from typing import Protocol

from nxai_manager.core.accounts import Who


class Gate(Protocol):
    """Knows sessions and tokens. Implemented by `Doorkeeper`."""

    def by_session(self, secret: str) -> Who | None:
        """Return whose session cookie this is, and note that it was used; None: nobody's."""
        ...

    def by_token(self, secret: str) -> Who | None:
        """Return whose token this is, and note that it was used; None: nobody's."""
        ...

    def holds(self, who: Who) -> bool:
        """Tell whether who has a page open may go on looking, and count that as use."""
        ...
