"""A destination behind HTTP: a web hook, Elasticsearch, Node-RED."""

import base64
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import orjson

from nxai_common.contracts.destinations import MOST_AT_ONCE, HttpDestination
from nxai_common.errors import ConfigurationError
from nxai_publisher.adapters.http_client import AGENT, HttpAnswer, HttpClient, Target
from nxai_publisher.adapters.secrets_directory import SecretsDirectory
from nxai_publisher.core.entries import Entry, Refused, unique_id
from nxai_publisher.core.groups import Grouping
from nxai_publisher.core.http_answers import Verdict, reason, verdict
from nxai_publisher.core.templates import BadTemplate, Filling
from nxai_publisher.ports import DestinationUnavailable, EntriesRefused

LARGEST_TOGETHER: Final = 8 * 1024 * 1024
"""Bytes of one array of several results."""


class HttpOutlet:
    """Implements the port `Outlet`."""

    def __init__(self, options: HttpDestination, device: str, secrets: SecretsDirectory) -> None:
        """Prepare.

        Args:
            options: Where to, and how.
            device: Name of the box in the topics.
            secrets: Of passwords and templates.

        Raises:
            BadTemplate: one of its templates cannot be read.
        """
        self._options = options
        self._device = device
        self._secrets = secrets
        self._client = HttpClient(options.timeout_s, options.certificate)
        self._url = Filling(options.url, "the url")
        self._body = Filling(options.body, "the body") if options.body else None
        self._headers = [
            (name, Filling(text, f"header {name}")) for name, text in options.headers.items()
        ]
        self._templates = self._body is not None or any(
            "{" in text for text in (options.url, *options.headers.values())
        )
        self.grouping = grouping_of(options)

    def send(self, entries: Sequence[Entry], /) -> Sequence[Refused]:
        """Send one request."""
        together = self.grouping.kind != "each"
        size = sum(len(entry.payload) for entry in entries)
        if len(entries) > 1 and size > LARGEST_TOGETHER:
            raise EntriesRefused("larger than one request may be")  # it comes again in halves
        try:
            target, headers, body = self._request(entries, together=together)
        except (BadTemplate, ConfigurationError) as error:
            raise EntriesRefused(str(error)) from None
        answer = self._client.request(self._options.method, target, body, headers)
        judge(answer, target)
        return ()

    def interrupt(self) -> None:
        """Let a `send` that is under way end soon."""
        self._client.interrupt()

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _request(
        self, entries: Sequence[Entry], *, together: bool
    ) -> tuple[Target, Mapping[str, str], bytes]:
        variables = self._variables(entries, together=together) if self._templates else {}
        # The host is no template, and a secret may be meant for one host alone.
        host = Target.parse(self._options.url.partition("{")[0]).host
        used: set[str] = set()

        def fill(filling: Filling) -> str:
            filled = filling.fill(variables, lambda name: self._secrets.read(name, host))
            used.update(filled.secrets)
            return filled.text

        target = Target.parse(fill(self._url))
        if used and target.host != host:
            raise ConfigurationError("its host cannot be a template")
        headers = self._plain_headers(entries, together=together, host=host)
        for name, filling in self._headers:
            value = fill(filling)
            if not value.isprintable():
                raise BadTemplate(f"header {name}: cannot hold a line break")
            headers[name] = value
        if self._body is not None:
            body = fill(self._body).encode(errors="replace")
        elif together:
            body = b"[" + b",".join(entry.payload for entry in entries) + b"]"
        else:
            body = entries[0].payload
        return target, headers, body

    def _plain_headers(
        self, entries: Sequence[Entry], *, together: bool, host: str
    ) -> dict[str, str]:
        options = self._options
        headers = {
            "Content-Type": options.content_type,
            "User-Agent": AGENT,
            "Idempotency-Key": _key(entries, self._device),
        }
        if not together:
            entry = entries[0]
            headers["X-Nxai-Content"] = entry.content
            headers["X-Nxai-Camera"] = entry.camera
        if options.username:
            secret = options.password_secret
            password = self._secrets.read(secret, host) if secret else ""
            pair = f"{options.username}:{password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return headers

    def _variables(self, entries: Sequence[Entry], *, together: bool) -> dict[str, Any]:
        """Return what a template can name."""
        messages = [orjson.loads(entry.payload) for entry in entries]
        ids = [unique_id(entry, self._device) for entry in entries]
        common = {"messages": messages, "ids": ids, "device": self._device}
        if together:
            return common
        entry, message = entries[0], messages[0]
        fields = message[0] if isinstance(message, list) and message else message
        return {
            **fields,
            **common,
            "message": message,
            "content": entry.content,
            "id": ids[0],
            "camera": entry.camera,
        }


def grouping_of(options: HttpDestination) -> Grouping:
    """Return what leaves together."""
    size = 1 if options.gather == "each" else options.batch_size
    if options.gather == "loop":
        size = MOST_AT_ONCE
    patience_s = options.interval_s if options.gather in ("loop", "interval") else 0.0
    return Grouping(options.gather, size, patience_s)


def judge(answer: HttpAnswer, target: Target) -> None:
    """Raise what an answer means, unless all was taken."""
    judged = verdict(answer.status)
    if judged is Verdict.TAKEN:
        return
    said = f"{target.shown}: {reason(answer.status, answer.body)}"
    if judged is Verdict.REFUSED:
        raise EntriesRefused(said)
    raise DestinationUnavailable(said, answer.retry_after_s)


def _key(entries: Sequence[Entry], device: str) -> str:
    if len(entries) == 1:
        return unique_id(entries[0], device)
    ids = "\n".join(unique_id(entry, device) for entry in entries)
    return f"{device}-{blake2b(ids.encode(), digest_size=16).hexdigest()}"
