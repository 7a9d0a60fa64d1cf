"""What is deployed, on disk."""

import stat
from pathlib import Path

import pytest

from nxai_common.contracts.deployments import DeployedModel, Deployments
from nxai_common.errors import ConfigurationError, TransientError
from nxai_manager.adapters.deployments_file import DeploymentsFile

PARTS = DeployedModel(
    model="parts", name="Pärts", cameras=("front",), digest="a" * 64, threshold=0.4
)
DEPLOYMENTS = Deployments(revision="r1", models=(PARTS,))


def test_what_was_kept_is_read_by_the_next_process(tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    assert DeploymentsFile(settings).read() is None
    DeploymentsFile(settings).keep(Deployments(revision="r0"))
    DeploymentsFile(settings).keep(DEPLOYMENTS)
    assert DeploymentsFile(settings).read() == DEPLOYMENTS
    [path] = tmp_path.iterdir()
    assert path.name == "settings.json.deployments"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_lies_in_the_state_folder_where_there_is_one(tmp_path: Path) -> None:
    state = tmp_path / "state"
    DeploymentsFile(tmp_path / "settings.json", state).keep(DEPLOYMENTS)
    assert (state / "settings.json.deployments").is_file()
    assert DeploymentsFile(tmp_path / "settings.json", state).read() == DEPLOYMENTS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is damaged: payload: Invalid JSON"),
        (b'{"revision": "r1", "models": [', "is damaged: payload: Invalid JSON"),
        (b'{"models": []}', "is damaged: revision: Field required"),
        (b"\xff", "is damaged: payload: Invalid JSON"),
        (
            b'{"revision": "r1", "models": [{"model": "parts", "digest": "../../etc"}]}',
            "is damaged: models.0.digest: String should match",
        ),
    ],
)
def test_damaged_file_is_named_with_the_reason(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "settings.json.deployments"
    path.write_bytes(content)
    file = DeploymentsFile(tmp_path / "settings.json")
    with pytest.raises(ConfigurationError) as caught:
        file.read()
    assert str(caught.value).startswith(f"{path} {said}")
    assert str(caught.value).endswith("; imported models run again once cloud-sync names them")
    file.keep(DEPLOYMENTS)
    assert file.read() == DEPLOYMENTS


def test_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "settings.json.deployments").mkdir()
    file = DeploymentsFile(tmp_path / "settings.json")
    with pytest.raises(ConfigurationError, match=r"deployments cannot be read: Is a directory"):
        file.read()
    with pytest.raises(TransientError, match=r"deployments cannot be written: Is a directory"):
        file.keep(DEPLOYMENTS)


def test_folder_that_is_none_holds_nothing_and_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    file = DeploymentsFile(tmp_path / "settings.json", tmp_path / "file")
    assert file.read() is None
    with pytest.raises(TransientError, match="cannot be written"):
        file.keep(DEPLOYMENTS)
