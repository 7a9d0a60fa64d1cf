"""Files out of a multipart body while it arrives.

Not aiohttp's reader: Edge Impulse's own SDK calls each file "multipart/form-data", which is to be
ignored, and aiohttp's would look for parts in it.
"""

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from aiohttp import StreamReader, content_disposition_filename, parse_content_disposition

LARGEST_HEAD = 16384
"""Of one part; real ones have some hundred bytes."""


class BrokenMultipartError(Exception):
    """The body ends too early, or is something else."""


@dataclass(frozen=True)
class Part:
    """One file."""

    name: str
    filename: str
    data: bytes
    """No more than the limit; `size` and `sha256` are of all there was."""
    sha256: str
    size: int


async def parts(stream: StreamReader, boundary: str, largest: int) -> AsyncIterator[Part]:
    """Yield each file; of one that is larger than `largest` bytes the rest is not kept."""
    body = _Body(stream)
    mark = b"\r\n--" + boundary.encode()
    await body.until(mark, lambda _: None)
    while await body.starts_with(b"\r\n"):
        head = bytearray()
        await body.until(b"\r\n\r\n", head.extend)
        name, filename = _names(head)
        kept = _Kept(largest)
        await body.until(mark, kept.add)
        yield Part(name, filename, bytes(kept.data), kept.digest.hexdigest(), kept.size)


def _names(head: bytes | bytearray) -> tuple[str, str]:
    if len(head) > LARGEST_HEAD:
        raise BrokenMultipartError("the head of a part is too long")
    for line in head.decode(errors="replace").split("\r\n"):
        field, _, value = line.partition(":")
        if field.strip().lower() == "content-disposition":
            _, found = parse_content_disposition(value.strip())
            name = content_disposition_filename(found, "name") or ""
            return name, content_disposition_filename(found) or ""
    raise BrokenMultipartError("a part has no Content-Disposition")


class _Kept:
    def __init__(self, largest: int) -> None:
        self.data = bytearray()
        self.digest = hashlib.sha256()
        self.size = 0
        self._largest = largest

    def add(self, block: bytes) -> None:
        self.size += len(block)
        self.digest.update(block)
        if self.size <= self._largest:
            self.data += block


class _Body:
    """A stream that is read up to marks; each byte is looked at once."""

    def __init__(self, stream: StreamReader) -> None:
        self._stream = stream
        self._ahead = bytearray(b"\r\n")  # in front of the first boundary, as of all others

    async def until(self, mark: bytes, take: Callable[[bytes], None]) -> None:
        """Hand over what stands before a mark, as it comes, and go behind the mark."""
        while (at := self._ahead.find(mark)) < 0:
            safe = max(0, len(self._ahead) - len(mark) + 1)
            take(self._cut(safe))
            await self._more()
        take(self._cut(at))
        del self._ahead[: len(mark)]

    async def starts_with(self, text: bytes) -> bool:
        """Take as many bytes as a text has, and return whether they are that text."""
        while len(self._ahead) < len(text):
            await self._more()
        return self._cut(len(text)) == text

    def _cut(self, length: int) -> bytes:
        taken = bytes(self._ahead[:length])
        del self._ahead[:length]
        return taken

    async def _more(self) -> None:
        block = await self._stream.readany()
        if not block:
            raise BrokenMultipartError("the body ends within a part")
        self._ahead += block
