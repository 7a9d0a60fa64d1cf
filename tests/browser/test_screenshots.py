"""Every page in both themes and two widths; docs/screenshots holds the same pictures."""

import io
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser

from support import screenshots
from support.browser import SIZES, THEMES, Size, Theme
from support.page import PageBox
from support.shared import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

FEWEST_COLOURS = 40
"""An empty or broken page has a handful."""


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageBox]:
    with screenshots.world(tmp_path_factory.mktemp("box")) as running:
        yield running


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", screenshots.SIZES)
def test_every_page_is_shown(browser: Browser, box: PageBox, theme: Theme, size: Size) -> None:
    taken = set()
    for shot in screenshots.take(browser, box, theme, size):
        picture = Image.open(io.BytesIO(shot.png)).convert("RGB")
        assert picture.size == SIZES[size], shot.name
        colours = picture.getcolors(maxcolors=2**24)
        assert colours is not None
        assert len(colours) >= FEWEST_COLOURS, f"{shot.name} shows nothing"
        # The background is the commonest colour; a mean would follow the cameras' pictures.
        background = max(colours)[1]
        assert isinstance(background, tuple)
        assert (sum(background) > 3 * 128) == (theme == "light"), f"{shot.name} is not {theme}"
        taken.add(shot.file)
    wanted = {name for name in screenshots.names() if name.endswith(f"-{size}-{theme}.webp")}
    assert taken == wanted


def test_docs_hold_each_and_are_small() -> None:
    kept = {path.name: path.stat().st_size for path in screenshots.KEPT.iterdir()}
    assert set(kept) == screenshots.names(), "run `make screenshots`"
    assert sum(kept.values()) < screenshots.MOST_BYTES


def test_readme_shows_two_of_them() -> None:
    text = (ROOT / "README.md").read_text()
    shown = [name for name in screenshots.names() if f"docs/screenshots/{name}" in text]
    assert len(shown) == 2
