"""InfluxDB: line protocol over HTTP (2 and 3; 1.8 takes the same path)."""

import gzip
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from nxai_common.contracts.destinations import InfluxDestination
from nxai_publisher.adapters.http_client import AGENT, HttpClient, Target
from nxai_publisher.adapters.http_destination import judge
from nxai_publisher.adapters.secrets_directory import SecretsDirectory
from nxai_publisher.core.entries import Entry, Refused
from nxai_publisher.core.groups import Grouping
from nxai_publisher.core.http_answers import readable
from nxai_publisher.core.line_protocol import PRECISION, lines_of

PACKING_LEVEL: Final = 3
"""Ten times smaller already; a higher one costs time for little."""


class InfluxOutlet:
    """Implements the port `Outlet`."""

    def __init__(self, options: InfluxDestination, device: str, secrets: SecretsDirectory) -> None:
        """Prepare.

        Args:
            options: Where to, and how.
            device: Name of the box in the topics.
            secrets: Of the token.

        Raises:
            ConfigurationError: its address cannot be used.
        """
        self._options = options
        self._device = device
        self._secrets = secrets
        query = {"bucket": options.bucket, "org": options.org, "precision": PRECISION}
        self._target = Target.parse(f"{options.url.rstrip('/')}/api/v2/write?{urlencode(query)}")
        self._client = HttpClient(options.timeout_s, options.certificate)
        self.grouping = Grouping("batch", options.batch_size, options.interval_s)

    def send(self, entries: Sequence[Entry], /) -> Sequence[Refused]:
        """Write the lines of several results."""
        lines: list[str] = []
        owners: list[Entry] = []
        for entry in entries:
            message = orjson.loads(entry.payload)
            made = lines_of(entry.content, message, device=self._device, camera=entry.camera)
            lines += made
            owners += [entry] * len(made)
        if not lines:
            return ()
        headers = {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Encoding": "gzip",
            "User-Agent": AGENT,
        }
        secret = self._options.token_secret
        if secret:
            token = self._secrets.read(secret, self._target.host)
            headers["Authorization"] = f"Token {token}"
        body = gzip.compress("\n".join(lines).encode(errors="replace"), PACKING_LEVEL, mtime=0)
        answer = self._client.request("POST", self._target, body, headers)
        refused = list(_refused(answer.body, owners)) if answer.status == PARTIAL else []
        if not refused:
            judge(answer, self._target)
        return refused

    def interrupt(self) -> None:
        """Let a `send` that is under way end soon."""
        self._client.interrupt()

    def close(self) -> None:
        """Hang up."""
        self._client.close()


PARTIAL: Final = 400
"""All or some lines were refused; where the answer numbers them, the others were taken."""


def _refused(said: bytes, owners: Sequence[Entry]) -> Iterator[Refused]:
    """Yield whose lines an answer names, each once; none where it names no line."""
    try:
        answer: Any = orjson.loads(said)
    except orjson.JSONDecodeError:
        return
    told: set[int] = set()
    data = answer.get("data") if isinstance(answer, dict) else None
    for one in data if isinstance(data, list) else ():
        number = one.get("line_number") if isinstance(one, dict) else None
        if isinstance(number, int) and 1 <= number <= len(owners):
            entry = owners[number - 1]
            if entry.number not in told:
                told.add(entry.number)
                reason = readable(str(one.get("error_message") or "refused").encode())
                yield Refused(entry, f"line {number}: {reason}")
