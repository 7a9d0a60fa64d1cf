"""Linking a project of an Edge Impulse on real sockets, with real files for link and key."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nxai_cloud_sync.adapters.ingestion_http import IngestionHttp
from nxai_cloud_sync.adapters.key_file import KeyFile
from nxai_cloud_sync.adapters.state_file import StateFile
from nxai_cloud_sync.adapters.studio_http import StudioHttp
from nxai_cloud_sync.core.job_record import Details
from nxai_cloud_sync.linked_project import LINK, LinkedProject
from nxai_cloud_sync.ports import Ingestion, Studio
from nxai_common.contracts.commands import LinkProject
from nxai_common.errors import CloudUnavailable, ConfigurationError, KeyRefused
from support import edge_impulse as ei
from support.cloud_sync import Heard

KEY, OTHER = "ei_" + "0123456789abcdef" * 4, "ei_" + "fedcba9876543210" * 4


class Http:
    """Opens the two APIs, as the composition root does."""

    def studio(self, base: str, key: str) -> Studio:
        return StudioHttp(base, key)

    def ingestion(self, base: str, key: str) -> Ingestion:
        return IngestionHttp(base, key)


@pytest.fixture
def emulator() -> ei.Emulator:
    return ei.Emulator()


@pytest.fixture
def parcels(emulator: ei.Emulator) -> ei.Project:
    project = emulator.add_project("Parcels", key=KEY)
    project.add_impulse(ei.fomo(("box", "bag"), float32=ei.tflite_like(1)))
    return project


@pytest.fixture
def start(
    emulator: ei.Emulator, parcels: ei.Project, tmp_path: Path
) -> Iterator[Callable[[], LinkedProject]]:
    """Return what a start of the service does."""
    del parcels
    with ei.running(emulator) as urls:

        def started() -> LinkedProject:
            project = LinkedProject(
                StateFile(tmp_path / "link.json", LINK),
                KeyFile(tmp_path / "key"),
                Http(),
                studio=urls.studio,
                ingestion=urls.ingestion,
            )
            project.open()
            return project

        yield started


def link(project: LinkedProject, number: int | None = None) -> Details:
    return project.connect(LinkProject(project=number), Heard().job)


def test_a_project_is_linked_over_a_restart_and_forgotten(
    start: Callable[[], LinkedProject], parcels: ei.Project, tmp_path: Path
) -> None:
    KeyFile(tmp_path / "key").write(KEY)
    details = link(start())
    assert (details["project"], details["name"], details["note"]) == (parcels.id, "Parcels", "")
    project = start()
    assert project.require().project == parcels.id
    assert (project.require().impulse, project.require().learn_block) == (1, 3)
    studio = project.studio()
    assert studio.key_info().project == parcels.id
    studio.close()
    project.ingestion().close()
    assert KEY not in (tmp_path / "link.json").read_text()
    project.forget()
    assert list(tmp_path.iterdir()) == []
    assert start().link is None


@pytest.mark.parametrize(
    ("role", "said", "reads"),
    [
        ("readonly", "cannot upload pictures or retrain", True),
        ("ingestiononly", "can only upload pictures", False),
        ("ingestion_deployment", "can only upload pictures", False),
    ],
)
def test_keys_that_may_do_less_are_linked_for_what_they_may(
    start: Callable[[], LinkedProject],
    emulator: ei.Emulator,
    parcels: ei.Project,
    tmp_path: Path,
    role: ei.project.Role,
    said: str,
    reads: bool,
) -> None:
    parcels.add_key(OTHER, role)
    KeyFile(tmp_path / "key").write(OTHER)
    project = start()
    assert said in str(link(project)["note"])
    assert (project.may("import"), project.may("train")) == (reads, False)
    assert project.may("upload") == (role != "readonly")
    assert all(OTHER not in request.path for request in emulator.requests)


def test_a_key_that_is_refused_leaves_the_link(
    start: Callable[[], LinkedProject], emulator: ei.Emulator, parcels: ei.Project, tmp_path: Path
) -> None:
    KeyFile(tmp_path / "key").write(KEY)
    project = start()
    link(project)
    KeyFile(tmp_path / "key").write(OTHER)
    with pytest.raises(KeyRefused) as caught:
        link(project)
    assert OTHER not in str(caught.value)
    elsewhere = emulator.add_project("Elsewhere", key=OTHER)
    with pytest.raises(KeyRefused, match=f"belongs to project {elsewhere.id}"):
        link(project, parcels.id)
    with pytest.raises(ConfigurationError, match="no impulse that reads images"):
        link(project)
    emulator.faults.add(ei.Fault("*/impulses", ei.Reply(503)))
    with pytest.raises(CloudUnavailable):
        link(project)
    assert start().require().project == project.require().project == parcels.id
