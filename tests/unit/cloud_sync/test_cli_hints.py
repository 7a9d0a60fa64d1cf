"""What the command line adds to the words of the service."""

import pytest

from nxai_cloud_sync.cli_hints import with_hint
from nxai_cloud_sync.linked_project import NOT_LINKED

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        (NOT_LINKED, "`nxai-cloud-sync link`"),
        ("there is no API key; link with one, or give the service one", "`nxai-cloud-sync link`"),
        ("version v was deleted here, and is fetched again when a person asks", "pull`"),
        ("say where pictures go to, too: a project of x is not served by y", "`--ingestion URL`"),
        ("version a is tried beside b on front", "`nxai-cloud-sync models` shows how it goes"),
        ("1 were refused: the list of pictures says why", "samples --state failed`"),
    ],
)
def test_what_to_type_stands_beside_what_is_wrong(said: str, hint: str) -> None:
    assert with_hint(said).startswith(f"{said} (`")
    assert with_hint(said).endswith(f"{hint})")


def test_who_says_it_already_is_left_alone() -> None:
    for said in ("", "the disk is full", f"{NOT_LINKED}: `nxai-cloud-sync link` does it"):
        assert with_hint(said) == said
