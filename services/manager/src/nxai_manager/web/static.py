"""The page's files: read and compressed once, told apart by their content."""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import web

COMPRESSED: Final = frozenset({".html", ".css", ".js", ".mjs", ".json", ".svg", ".txt", ".md"})
TYPES: Final = {".js": "text/javascript", ".mjs": "text/javascript", ".woff2": "font/woff2"}
"""What some systems' tables have wrong or not at all; a wrong one keeps a module from running."""
LEFT_OUT: Final = frozenset({".md", ".py", ".pyc", ".map"})


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, ready to be sent."""

    content: bytes
    packed: bytes | None
    """With gzip, where that is smaller."""
    media_type: str
    etag: str


class Page:
    """Serves the files below a folder.

    They are held in memory (a megabyte), so that a half-finished update of the folder is never
    seen; the browser asks each time whether its copy is still right (304).
    """

    def __init__(self, folder: Path) -> None:
        self._assets = {
            path.relative_to(folder).as_posix(): _asset(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix not in LEFT_OUT and not path.name.startswith(".")
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The files that are served."""
        return tuple(self._assets)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer with a file; the folder itself is `index.html`."""
        asset = self._assets.get(request.match_info.get("file", "") or "index.html")
        if asset is None:
            raise web.HTTPNotFound
        headers = {
            "ETag": asset.etag,
            "Cache-Control": "no-cache",
            "Vary": "Accept-Encoding",
        }
        if request.headers.get("If-None-Match") == asset.etag:
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
        body = asset.content
        if asset.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
            body = asset.packed
            headers["Content-Encoding"] = "gzip"
        headers["Content-Type"] = asset.media_type
        return web.Response(body=body, headers=headers)


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    media_type = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    media_type = media_type or "application/octet-stream"
    if media_type.startswith("text/"):
        media_type += "; charset=utf-8"
    packed = None
    if path.suffix in COMPRESSED:
        packed = gzip.compress(content, 9, mtime=0)
        if len(packed) >= len(content):
            packed = None
    digest = hashlib.sha256(content).hexdigest()[:20]
    return Asset(content, packed, media_type, f'"{digest}"')
