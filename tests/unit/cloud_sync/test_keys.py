"""What is said of API keys."""

import pytest

from nxai_cloud_sync.core.keys import key_revision

pytestmark = pytest.mark.unit


def test_a_revision_changes_with_the_key_and_does_not_tell_it() -> None:
    first = key_revision("ei_0123456789")
    assert first == key_revision("ei_0123456789") != key_revision("ei_0123456780")
    assert "0123" not in first
