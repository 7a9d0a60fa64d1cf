"""Cuts an endless multipart/x-mixed-replace answer (MJPEG) into its parts.

Cameras bend RFC 2046 section 5.1 in every way: the boundary parameter with or without the two
leading dashes, a delimiter line without dashes, parts without Content-Length or with a wrong
one, parts without headers, no Content-Type at all. So the delimiter is learnt from the stream
itself: the first line that looks like one.
"""

from typing import Final

from nxai_common.errors import InvalidPayload

LONGEST_HEAD: Final = 16 * 1024
"""Bytes before the first delimiter, and of a part's headers. Real ones are below 1 kB; a web
page or a video stream at this URL has not shown a delimiter by then."""


class MultipartPictures:
    """Feed it bytes as they come, get whole parts.

    Attributes:
        limit: Bytes of one part at most; it bounds the memory.
    """

    def __init__(self, boundary: str | None, limit: int) -> None:
        self.limit = limit
        self._boundary = (
            (boundary or "").strip().strip('"').lstrip("-").encode("latin-1", "replace")
        )
        self._delimiter = b""
        self._buffer = bytearray()
        self._searched = 0
        self._skipped = 0
        self._in_part = False
        self._length: int | None = None
        self._lengths_are_right = True
        self._after_length = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the parts that `data` completes, oldest first.

        Raises:
            InvalidPayload: this is no multipart stream, or a part is larger than `limit`.
        """
        self._buffer += data
        parts: list[bytes] = []
        while self._step(parts):
            pass
        if len(self._buffer) > self.limit + LONGEST_HEAD:
            raise InvalidPayload(f"more than {self.limit} bytes without the end of a picture")
        return parts

    def _step(self, parts: list[bytes]) -> bool:
        """Take one line, one head or one body; False when more data is needed."""
        if not self._in_part:
            return self._take_delimiter_line()
        if self._length is None:
            return self._take_head()
        body = self._take_body()
        if body is None:
            return False
        self._in_part = False
        self._length = None
        if body:
            parts.append(body)
        return True

    def _take_delimiter_line(self) -> bool:
        end = self._buffer.find(b"\n")
        if end < 0:
            self._check_head(len(self._buffer))
            return False
        line = bytes(self._buffer[:end]).strip()
        del self._buffer[: end + 1]
        if self._is_delimiter(line):
            self._delimiter = line
            self._in_part = True
            self._skipped = 0
        elif line:
            self._skipped += end + 1
            self._check_head(0)
            if self._after_length and line != self._delimiter + b"--":
                # The part went on behind its Content-Length: look for delimiters from now on.
                self._lengths_are_right = False
        return True

    def _is_delimiter(self, line: bytes) -> bool:
        if self._delimiter:
            return line == self._delimiter
        bare = line.lstrip(b"-")
        return bool(bare) and (bare == self._boundary or line.startswith(b"--"))

    def _check_head(self, more: int) -> None:
        """Give up on what never shows a delimiter; junk behind one may be as long as a part."""
        limit = self.limit if self._delimiter else LONGEST_HEAD
        if self._skipped + more > limit:
            raise InvalidPayload("no boundary line: this is not a multipart stream")

    def _take_head(self) -> bool:
        ends = [
            (start, start + len(mark))
            for mark in (b"\n\r\n", b"\n\n")
            if (start := self._buffer.find(mark, 0, LONGEST_HEAD)) >= 0
        ]
        # no headers at all
        ends += [(0, len(mark)) for mark in (b"\r\n", b"\n") if self._buffer.startswith(mark)]
        if not ends:
            if len(self._buffer) > LONGEST_HEAD:
                raise InvalidPayload("the head of a part does not end")
            return False
        start, end = min(ends)
        self._length = 0
        for line in bytes(self._buffer[:start]).splitlines():
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and value.strip().isdigit():
                self._length = int(value)
        if self._length > self.limit:
            raise InvalidPayload(f"a picture of {self._length} bytes, more than {self.limit}")
        del self._buffer[:end]
        self._searched = 0
        return True

    def _take_body(self) -> bytes | None:
        length = self._length if self._lengths_are_right else 0
        if length and len(self._buffer) < length:
            return None
        end = self._buffer.find(b"\n" + self._delimiter, self._searched, length or None)
        self._after_length = bool(length) and end < 0
        if length and end < 0:
            body = bytes(self._buffer[:length])
            del self._buffer[:length]
            return body
        if end < 0:
            # The delimiter may lie across the end of what has come.
            self._searched = max(0, len(self._buffer) - len(self._delimiter))
            return None
        body = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return body.removesuffix(b"\r")
