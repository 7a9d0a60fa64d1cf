"""A destination behind HTTP: a web hook, Elasticsearch, Node-RED."""

import base64
import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final

import orjson

from nxai_common.contracts.destinations import MOST_AT_ONCE, HttpDestination
from nxai_common.errors import ConfigurationError
from nxai_common.logs import register_secret
from nxai_publisher.adapters.http_client import AGENT, HttpAnswer, HttpClient, Target
from nxai_publisher.adapters.secrets_directory import SecretsDirectory
from nxai_publisher.core.entries import Entry, Refused, unique_id
from nxai_publisher.core.groups import Grouping
from nxai_publisher.core.http_answers import Verdict, reason, verdict
from nxai_publisher.core.templates import BadTemplate, Filled, Filling
from nxai_publisher.ports import DestinationUnavailable, EntriesRefused, SecretUnavailable

LARGEST_TOGETHER: Final = 8 * 1024 * 1024
"""Bytes of one array of several results."""
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")


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
            ConfigurationError: its address or one of its headers cannot be used.
        """
        self._options = options
        self._device = device
        self._secrets = secrets
        self._client = HttpClient(options.timeout_s, options.certificate)
        self._host = _host_of(options.url)
        """Where it goes, and for whom secrets are read; no template."""
        for name in options.headers:
            if not _HEADER.fullmatch(name):
                raise ConfigurationError(f"{name!r} is not the name of a header")
        if not options.content_type.isprintable():
            raise ConfigurationError("content_type cannot hold a line break")
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
        size = sum(len(entry.payload) + len(entry.picture) for entry in entries)
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
        target = self._target(variables)
        headers = self._plain_headers(entries, together=together)
        for name, filling in self._headers:
            filled = self._fill(filling, variables)
            if not filled.text.isprintable():
                reason = f"header {name}: cannot hold a line break"
                raise SecretUnavailable(reason) if filled.secrets else BadTemplate(reason)
            headers = {n: v for n, v in headers.items() if n.lower() != name.lower()}
            headers[name] = filled.text
        if self._body is not None:
            body = self._fill(self._body, variables).text.encode(errors="replace")
        elif together:
            body = b"[" + b",".join(self._payload(entry) for entry in entries) + b"]"
        else:
            body = self._payload(entries[0])
        return target, headers, body

    def _fill(self, filling: Filling, variables: Mapping[str, Any]) -> Filled:
        return filling.fill(variables, lambda name: self._secrets.read(name, self._host))

    def _target(self, variables: Mapping[str, Any]) -> Target:
        filled = self._fill(self._url, variables)
        try:
            target = Target.parse(filled.text)
        except ConfigurationError as error:
            if filled.secrets:  # perhaps its fault, and then not the result's
                raise SecretUnavailable(f"{error}; or check the secret in it") from None
            raise
        if target.host != self._host:
            raise BadTemplate("the url: its host cannot be a template")
        return target

    def _payload(self, entry: Entry) -> bytes:
        """Return the JSON of an entry; of an alarm with its picture, where that is wanted."""
        if entry.content != "alarms" or not self._options.picture:
            return entry.payload
        picture = base64.b64encode(entry.picture).decode()
        return orjson.dumps(orjson.loads(entry.payload) | {"picture": picture})

    def _plain_headers(self, entries: Sequence[Entry], *, together: bool) -> dict[str, str]:
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
            password = self._secrets.read(secret, self._host) if secret else ""
            pair = base64.b64encode(f"{options.username}:{password}".encode()).decode()
            register_secret(pair)  # a server may repeat what it was sent
            headers["Authorization"] = f"Basic {pair}"
        return headers

    def _variables(self, entries: Sequence[Entry], *, together: bool) -> dict[str, Any]:
        """Return what a template can name."""
        messages = [orjson.loads(self._payload(entry)) for entry in entries]
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


def _host_of(url: str) -> str:
    """Return the host of a URL that may hold templates behind it.

    Raises:
        ConfigurationError: there is none, or it is a template.
    """
    plain, template, _ = url.partition("{")
    if template and not re.match(r"https?://[^/?#]+[/?]", plain, re.IGNORECASE):
        raise ConfigurationError("its host cannot be a template")
    return Target.parse(plain).host


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
