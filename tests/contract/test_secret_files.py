"""What the manager writes of a camera's login, capture reads: the one contract on disk."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nxai_capture.adapters.secrets_directory import SecretsDirectory as Reader
from nxai_common.errors import ConfigurationError
from nxai_manager.adapters.secrets_directory import SecretsDirectory as Writer
from nxai_manager.core.compile import Login, credentials_name

texts = st.text(st.characters(exclude_categories=["Cs"]))


@given(username=texts, password=texts)
@example(username="", password="p@ss w/rd:\"'\\%41\n\x00\u2028")
def test_any_login_comes_over_unchanged(
    username: str, password: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "secrets"
    name = credentials_name("front")
    Writer(folder).store({name: Login(username, password)})
    found = Reader(folder).read(name)
    assert (found.username, found.password.get_secret_value()) == (username, password)


def test_login_that_was_taken_away_is_gone(tmp_path: Path) -> None:
    Writer(tmp_path).store({credentials_name("front"): Login("joe", "hunter2")})
    Writer(tmp_path).store({})
    with pytest.raises(ConfigurationError, match="does not exist"):
        Reader(tmp_path).read(credentials_name("front"))
