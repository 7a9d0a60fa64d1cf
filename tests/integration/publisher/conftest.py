"""Databases of both kinds."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from nxai_publisher.adapters.sql_database import database_url
from support.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> URL:
    return database_url(f"sqlite:///{tmp_path}/data/nxai.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> URL:
    if request.param == "sqlite":
        found = request.getfixturevalue("sqlite_url")
    else:
        found = database_url(request.getfixturevalue("postgres").create_database())
    assert isinstance(found, URL)
    return found
