"""The page's files as they are sent."""

import asyncio
import gzip
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDictProxy

from nxai_manager.web.server import PAGE
from nxai_manager.web.static import Page

pytestmark = pytest.mark.unit

SCRIPT = "export const x = 1;\n" * 50


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "js").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>nxai</title>")
    (tmp_path / "js/main.js").write_text(SCRIPT)
    (tmp_path / "js/tiny.js").write_text("1")
    (tmp_path / "README.md").write_text("not for the browser")
    (tmp_path / ".hidden.js").write_text("nor this")
    return tmp_path


def get(folder: Path, path: str, **headers: str) -> tuple[int, CIMultiDictProxy[str], bytes]:
    async def play() -> tuple[int, CIMultiDictProxy[str], bytes]:
        app = web.Application()
        page = Page(folder)
        app.router.add_get("/", page.serve)
        app.router.add_get("/{file:.+}", page.serve)
        async with (
            TestServer(app) as server,
            ClientSession(auto_decompress=False) as session,
            session.get(
                server.make_url(path), headers={k.replace("_", "-"): v for k, v in headers.items()}
            ) as answer,
        ):
            return answer.status, answer.headers, await answer.read()

    return asyncio.run(play())


def test_folder_is_its_index(folder: Path) -> None:
    status, headers, body = get(folder, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert b"<title>nxai" in body


def test_script_is_sent_compressed_to_who_takes_that(folder: Path) -> None:
    _, headers, body = get(folder, "/js/main.js", Accept_Encoding="gzip, br")
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(body).decode() == SCRIPT
    _, headers, body = get(folder, "/js/main.js", Accept_Encoding="identity")
    assert "Content-Encoding" not in headers
    assert body.decode() == SCRIPT


def test_what_does_not_shrink_is_sent_as_it_is(folder: Path) -> None:
    _, headers, body = get(folder, "/js/tiny.js", Accept_Encoding="gzip")
    assert "Content-Encoding" not in headers
    assert body == b"1"


def test_copy_that_is_still_right_is_not_sent_again(folder: Path) -> None:
    _, headers, _ = get(folder, "/js/main.js")
    assert headers["Cache-Control"] == "no-cache"
    status, _, body = get(folder, "/js/main.js", If_None_Match=headers["ETag"])
    assert (status, body) == (304, b"")
    (folder / "js/main.js").write_text("export const x = 2;")
    status, _, _ = get(folder, "/js/main.js", If_None_Match=headers["ETag"])
    assert status == 200


@pytest.mark.parametrize(
    "path", ["/README.md", "/.hidden.js", "/nothing.js", "/..%2f..%2fetc%2fpasswd", "/js"]
)
def test_nothing_else_is_there(folder: Path, path: str) -> None:
    status, _, _ = get(folder, path)
    assert status == 404


def test_the_page_itself_is_whole() -> None:
    names = Page(PAGE).names
    assert "index.html" in names
    assert not [name for name in names if name.endswith((".md", ".map"))]
