"""A real PostgreSQL for tests.

Started from the system's binaries in a temporary folder, or, where a Docker engine answers and
``NXAI_TEST_POSTGRES_IMAGE`` names an image that has one, through testcontainers.
"""

import os
import pwd
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import psycopg
import pytest

from support.broker import free_port
from support.waiting import wait_for

IMAGE_VARIABLE = "NXAI_TEST_POSTGRES_IMAGE"
USER = "nxai"
PASSWORD = "s3cret-of/the@test"
ACCOUNT = "postgres"
"""System user that runs the server when the tests run as root, which initdb refuses."""


class _Server(Protocol):
    def start(self) -> None: ...
    def ended(self) -> bool: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def last_words(self) -> str: ...


class Postgres:
    """A server on a port of its own; the port stays the same over restarts (context manager)."""

    def __init__(self) -> None:
        # Not one of pytest's: they are for their owner only, and the server has an account of its
        # own. Opened, they are closed again by another run of pytest that begins meanwhile.
        self._folder = tempfile.TemporaryDirectory(prefix="nxai-postgres-")
        self.folder = Path(self._folder.name)
        self.host = "127.0.0.1"
        self.port = free_port()
        image = os.environ.get(IMAGE_VARIABLE, "")  # noqa: TID251 - test support, not a service
        self._server: _Server = _Container(self, image) if image else _Process(self)
        self._databases = 0

    def create_database(self) -> str:
        """Return the URL of a new, empty database."""
        self._databases += 1
        name = f"test_{self._databases}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        password = PASSWORD.replace("/", "%2F").replace("@", "%40")
        return f"postgresql://{USER}:{password}@{self.host}:{self.port}/{name}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Return a connection that commits by itself."""
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=USER,
            password=PASSWORD,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def start(self) -> None:
        """Start and wait until it answers."""
        self._server.start()
        try:
            wait_for(self._answers, 60, f"PostgreSQL on port {self.port}")
        except AssertionError as error:
            raise AssertionError(f"{error}; it said: {self._server.last_words()}") from None

    def stop(self) -> None:
        """Stop at once; clients lose their connection."""
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self._folder.cleanup()

    def _answers(self) -> bool:
        if self._server.ended():
            # A child of the one before held its shared memory, or something held the port.
            self._server.start()
        with suppress(psycopg.OperationalError), self.connect():
            return True
        return False


class _Process:
    def __init__(self, postgres: Postgres) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not found:
            pytest.fail("PostgreSQL is not installed: apt-get install postgresql")
        self._programs = found[-1].parent
        self._postgres = postgres
        self._data = postgres.folder / "data"
        self._log = postgres.folder / "server.log"
        self._account = pwd.getpwnam(ACCOUNT) if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if not self._data.exists():
            self._make()
        self._process = self._run(
            "postgres",
            *("-D", str(self._data), "-p", str(self._postgres.port)),
            *("-c", f"listen_addresses={self._postgres.host}"),
            *("-c", f"unix_socket_directories={self._postgres.folder}", "-c", "fsync=off"),
        )

    def ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)  # its "immediate shutdown"
            self._process.wait(timeout=60)
            self._process = None

    def close(self) -> None:
        self.stop()

    def last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]

    def _make(self) -> None:
        folder = self._postgres.folder
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if self._account is not None:
            for path in (folder, secret):
                os.chown(path, self._account.pw_uid, self._account.pw_gid)
        made = self._run(
            "initdb",
            *("-D", str(self._data), "-U", USER, "-A", "scram-sha-256"),
            *("--pwfile", str(secret), "-E", "UTF8", "--locale=C", "--no-sync"),
        )
        if made.wait(timeout=120) != 0:
            raise AssertionError(f"initdb failed: {self._log.read_text(errors='replace')}")

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        account = self._account
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [str(self._programs / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else [],
            )


class _Container:
    def __init__(self, postgres: Postgres, image: str) -> None:
        # Slow to import, and only here when an image is named.
        from testcontainers.core.config import testcontainers_config  # noqa: PLC0415 - as above
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - as above

        testcontainers_config.ryuk_disabled = True  # needs an image from the internet; we clean up
        self._container = (
            DockerContainer(image)
            .with_env("POSTGRES_USER", USER)
            .with_env("POSTGRES_PASSWORD", PASSWORD)
            .with_env("POSTGRES_DB", "postgres")
            .with_bind_ports(5432, postgres.port)
        )
        self._created = False

    def start(self) -> None:
        if self._created:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._created = True

    def ended(self) -> bool:
        return False  # testcontainers looks after it

    def stop(self) -> None:
        self._container.get_wrapped_container().kill()

    def close(self) -> None:
        if self._created:
            self._container.stop()

    def last_words(self) -> str:
        _, errors = self._container.get_logs()
        return str(errors, errors="replace")[-2000:]
