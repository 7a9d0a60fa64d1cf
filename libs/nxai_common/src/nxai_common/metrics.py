"""`/metrics` for Prometheus: the very values of a service's status, over HTTP, where wanted."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from nxai_common.errors import ConfigurationError
from nxai_common.scrapes import Seen
from nxai_common.settings import ServiceSettings


@contextlib.contextmanager
def metrics_served(settings: ServiceSettings, look: Callable[[], Seen]) -> Iterator[None]:
    """Serve `/metrics` on threads of its own, as the settings say.

    Args:
        settings: Where; port 0: nowhere.
        look: Returns what is known now. Called by any thread; quick.

    Raises:
        ConfigurationError: nobody can listen there; says what to do.
    """
    if not settings.metrics_port:
        yield
        return
    # Not at the top: a megabyte that a box without Prometheus need not have.
    from nxai_common.prometheus import MetricsServer  # noqa: PLC0415 - as above

    address, port = settings.metrics_address, settings.metrics_port
    try:
        server = MetricsServer(address, port, look, device=settings.device)
    except OSError as error:
        raise ConfigurationError(
            f"NXAI_METRICS_PORT={port}: no listening on {address}: {error.strerror or error}; "
            "each service on one machine, and each of several workers, needs a port of its own "
            "(0: no metrics), and NXAI_METRICS_ADDRESS must be an address of this machine"
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
