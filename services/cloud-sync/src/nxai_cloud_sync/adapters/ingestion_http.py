"""Edge Impulse's ingestion API over HTTP: pictures go up as they are read from the disk."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from nxai_cloud_sync.adapters.edge_impulse_http import EdgeImpulseServer, HttpLimits, base_url
from nxai_cloud_sync.core.sample import StoredSample
from nxai_cloud_sync.core.uploading import (
    LABELS_FILE,
    FileOutcome,
    UploadBatch,
    labels_file,
    metadata_header,
    read_answer,
)
from nxai_common.errors import CloudUnavailable

SOURCE: Final = "NXAI_EDGE"
"""Name of this program in Studio (`x-upload-source`, `x-device-type`)."""
_CHUNK: Final = 1 << 18
"""Bytes read at once: most pictures are one chunk, and a dozen at a time would not be noticed."""


class IngestionHttp:
    """Implements `Ingestion`. May be used by several threads.

    Args:
        base: Base URL, such as `https://ingestion.edgeimpulse.com`.
        key: API key of a project.
        limits: How long and how slow things may be.

    Raises:
        ConfigurationError: `base` is no address.
    """

    def __init__(self, base: str, key: str, limits: HttpLimits | None = None) -> None:
        self._server = EdgeImpulseServer(base_url(base), key, limits or HttpLimits())

    def close(self) -> None:
        """Close connections."""
        self._server.close()

    def send(
        self, batch: UploadBatch, picture: Callable[[StoredSample], Path]
    ) -> tuple[FileOutcome, ...]:
        """Upload a batch in one request; return one outcome a picture, in the same order.

        A picture whose file cannot be read is refused here, and the others go up.
        """
        done: dict[str, FileOutcome] = {}

        def refuse(sample: str, reason: str) -> None:
            done[sample] = FileOutcome(sample, accepted=False, reason=reason)

        while going := [sample for sample in batch.samples if sample.id not in done]:
            files: list[_File] = []
            for sample in going:
                path = picture(sample)
                try:
                    files.append(_File(sample, path, path.stat().st_size))
                except OSError as error:
                    refuse(sample.id, _unreadable(error))
            if len(files) < len(going):
                continue
            try:
                outcomes = self._upload(replace(batch, samples=tuple(going)), files)
            except _UnreadableError as error:  # what was sent so far was not stored
                refuse(error.sample, error.reason)
            else:
                done |= {outcome.sample: outcome for outcome in outcomes}
        return tuple(done[sample.id] for sample in batch.samples)

    def _upload(self, batch: UploadBatch, files: Sequence["_File"]) -> tuple[FileOutcome, ...]:
        boxes = batch.labelled and not batch.label
        body = _Multipart(files, labels_file(batch) if boxes else None)
        headers = {
            "Content-Type": f"multipart/form-data; boundary={body.boundary}",
            "x-disallow-duplicates": "1",
            "x-metadata": metadata_header(batch.metadata),
            "x-upload-source": SOURCE,
            "x-device-type": SOURCE,
        }
        if batch.label:
            headers["x-label"] = quote(batch.label, safe="")
        elif not batch.labelled:
            headers["x-no-label"] = "1"
        pictures = "a picture" if len(files) == 1 else f"an upload of {len(files)} pictures"
        answer = self._server.upload(
            f"/api/{batch.category}/files", pictures, headers, iter(body), body.size
        )
        return read_answer(batch, answer)


class _UnreadableError(Exception):
    """A picture turned out to be unreadable while it was sent."""

    def __init__(self, sample: str, reason: str) -> None:
        super().__init__(reason)
        self.sample = sample
        self.reason = reason


def _unreadable(error: OSError) -> str:
    return f"its file cannot be read: {error.strerror}"


class _File:
    """One picture, and what stands before it in the body."""

    def __init__(self, sample: StoredSample, path: Path, size: int) -> None:
        self.sample = sample.id
        self.name = sample.file_name
        self.path = path
        self.size = size


class _Multipart:
    """A multipart/form-data body (RFC 7578) of known size; iterate to get its bytes."""

    def __init__(self, files: Sequence[_File], labels: bytes | None) -> None:
        self.boundary = f"nxai-{secrets.token_hex(16)}"
        self._files = files
        self._labels = labels
        self._end = f"--{self.boundary}--\r\n".encode()

    @property
    def size(self) -> int:
        """Bytes of the whole body."""
        size = sum(len(self._head(file.name, _JPEG)) + file.size + 2 for file in self._files)
        if self._labels is not None:
            size += len(self._head(LABELS_FILE, _JSON)) + len(self._labels) + 2
        return size + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        before = b""
        for file in self._files:
            before += self._head(file.name, _JPEG)
            for chunk in _content(file):
                # In one write with what stands before it: as a packet of its own that costs more
                # than this copy.
                yield b"".join((before, chunk))
                before = b""
            before += b"\r\n"
        if self._labels is not None:
            before = b"".join((before, self._head(LABELS_FILE, _JSON), self._labels, b"\r\n"))
        yield b"".join((before, self._end))

    def _head(self, name: str, kind: str) -> bytes:
        return (
            f"--{self.boundary}\r\n"
            f'Content-Disposition: form-data; name="data"; filename="{name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        ).encode()


_JPEG: Final = "image/jpeg"
_JSON: Final = "application/json"


def _content(file: _File) -> Iterator[bytes]:
    """Yield exactly as many bytes as were announced.

    Raises:
        _UnreadableError: it cannot be read; the request breaks off, and nothing is stored.
        CloudUnavailable: it changed meanwhile; as above.
    """
    left = file.size
    try:
        with file.path.open("rb", buffering=0) as opened:
            while left > 0:
                chunk = opened.read(min(_CHUNK, left))
                if not chunk:
                    break
                left -= len(chunk)
                yield chunk
    except OSError as error:
        raise _UnreadableError(file.sample, _unreadable(error)) from None
    if left:
        raise CloudUnavailable(f"picture {file.name} became shorter while it was sent")
