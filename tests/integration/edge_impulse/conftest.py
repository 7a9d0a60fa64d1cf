"""A running emulator with one project, and clients for it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from support.edge_impulse import Emulator, Project, Urls, fomo, running, tflite_like


@pytest.fixture
def emulator() -> Emulator:
    return Emulator()


@pytest.fixture
def project(emulator: Emulator) -> Project:
    """Parcels, with a FOMO in both variants and the key ei_admin."""
    made = emulator.add_project("Parcels", key="ei_admin")
    made.add_impulse(fomo(("box",), float32=tflite_like(1), int8=tflite_like(2)))
    return made


@pytest.fixture
def urls(emulator: Emulator, project: Project) -> Iterator[Urls]:
    del project  # made before clients can ask for it
    with running(emulator) as found:
        yield found


@pytest.fixture
def with_key(urls: Urls) -> Iterator[Callable[[str], httpx.Client]]:
    """Return a client of Studio for a key."""
    with ExitStack() as stack:

        def client(key: str) -> httpx.Client:
            made = httpx.Client(base_url=urls.studio, headers={"x-api-key": key}, timeout=30)
            return stack.enter_context(made)

        yield client


@pytest.fixture
def client(with_key: Callable[[str], httpx.Client]) -> httpx.Client:
    return with_key("ei_admin")
