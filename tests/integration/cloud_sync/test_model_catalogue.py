"""The catalogue on a real disk: whole versions or none, whatever happens."""

import contextlib
import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nxai_cloud_sync.adapters.model_catalogue import ABOUT, MANIFEST, ModelCatalogue
from nxai_cloud_sync.adapters.state_lock import state_lock
from nxai_cloud_sync.core.catalogue import VersionState
from nxai_cloud_sync.ports import StorageUnavailable
from nxai_common.contracts.models import PackageManifest
from nxai_common.errors import ConfigurationError, RejectedError
from nxai_inference.adapters.model_package import read_package
from support.import_work import LABELS, put
from support.killed import KilledWork
from support.models_for_import import digest_of, left_over, noise, version
from support.samples import small_disk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "catalogue"


@pytest.fixture
def catalogue(folder: Path) -> ModelCatalogue:
    made = ModelCatalogue(folder)
    made.open()
    return made


def test_what_was_stored_is_a_package_of_the_inference_service(
    catalogue: ModelCatalogue, folder: Path
) -> None:
    made = put(catalogue)
    package = read_package(folder / made.digest)
    assert package.file.content == noise(1)
    assert package.manifest == LABELS.model_copy(
        update={"file": f"model-{made.digest[:12]}.tflite", "digest": made.digest}
    )
    assert package.warnings == ()
    assert catalogue.get(made.digest) == made
    assert catalogue.manifest(made.digest) == package.manifest
    assert left_over(folder) == []


def test_an_onnx_model_keeps_its_ending(catalogue: ModelCatalogue, folder: Path) -> None:
    made = put(catalogue, suffix=".onnx")
    assert (folder / made.digest / f"model-{made.digest[:12]}.onnx").is_file()


def test_versions_come_newest_first_over_restarts(catalogue: ModelCatalogue, folder: Path) -> None:
    made = [put(catalogue, number) for number in (1, 3, 2)]
    (folder / "lost+found").mkdir()
    (folder / ("a" * 64)).write_text("a file")
    again = ModelCatalogue(folder)
    again.open()
    assert again.versions() == catalogue.versions() == (made[1], made[2], made[0])


def test_what_is_not_there_is_not_there(catalogue: ModelCatalogue) -> None:
    for digest in ("a" * 64, "..", "", "a" * 63 + "\n"):
        assert catalogue.get(digest) is None
        assert catalogue.manifest(digest) is None
        catalogue.delete(digest)


def test_another_user_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        catalogue = ModelCatalogue(tmp_path / "catalogue")
        catalogue.open()
        made = put(catalogue)
        put(catalogue, manifest=LABELS.model_copy(update={"threshold": 0.6}))
        catalogue.update(replace(made, title="other"))
    finally:
        os.umask(before)
    place = tmp_path / "catalogue" / made.digest
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in place.iterdir()}
    assert set(modes.values()) == {0o644}
    for each in (place, place.parent):
        assert stat.S_IMODE(each.stat().st_mode) == 0o755


# -- what is said of a version --------------------------------------------------------------------


def test_storing_again_replaces_what_is_said(catalogue: ModelCatalogue, folder: Path) -> None:
    made = put(catalogue)
    model = folder / made.digest / f"model-{made.digest[:12]}.tflite"
    before = model.stat()
    about = (before.st_ino, before.st_mtime_ns, before.st_ctime_ns)
    put(catalogue, manifest=LABELS.model_copy(update={"threshold": 0.7}), title="other")
    assert read_package(folder / made.digest).manifest.threshold == 0.7
    assert catalogue.get(made.digest) == replace(made, title="other")
    after = model.stat()  # it may have been read
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == about  # not copied again
    assert len(catalogue.versions()) == 1
    assert left_over(folder) == []


def test_a_changed_record_is_seen(catalogue: ModelCatalogue, folder: Path) -> None:
    made = put(catalogue)
    assert catalogue.versions() == (made,)
    changed = replace(made, title="Dosen", state=VersionState.REFUSED, reason="why")
    catalogue.update(changed)
    assert catalogue.versions() == (changed,)
    assert catalogue.manifest(made.digest) == read_package(folder / made.digest).manifest


def test_what_is_not_there_cannot_be_changed(catalogue: ModelCatalogue) -> None:
    with pytest.raises(RejectedError, match="no version aaaaaaaaaaaa in the catalogue"):
        catalogue.update(version())


def test_a_deleted_version_is_gone(catalogue: ModelCatalogue, folder: Path) -> None:
    one, two = put(catalogue, 1), put(catalogue, 2)
    catalogue.delete(one.digest)
    assert catalogue.versions() == (two,)
    assert catalogue.get(one.digest) is None
    assert [each.name for each in folder.iterdir()] == [two.digest]


def test_a_hundred_versions_leave_the_disk_bounded(catalogue: ModelCatalogue, folder: Path) -> None:
    kept = put(catalogue, 0)
    for number in range(1, 101):
        put(catalogue, number)
        catalogue.prune(10, {kept.digest})
    assert [each.imported_at_us for each in catalogue.versions()] == [*range(100, 90, -1), 0]
    assert len(list(folder.iterdir())) == 11
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) < 11 * 5000
    assert len(catalogue._read) == 11  # what is remembered is bounded, too


# -- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\0" * 100, b'{"digest": 1}', b" " * 2**21])
def test_a_damaged_record_hurts_that_version_alone(
    catalogue: ModelCatalogue, folder: Path, content: bytes
) -> None:
    whole, hurt = put(catalogue, 1), put(catalogue, 2)
    (folder / hurt.digest / ABOUT).write_bytes(content)
    listed = {each.digest: each for each in catalogue.versions()}
    assert listed[whole.digest] == whole
    assert listed[hurt.digest].state is VersionState.REFUSED
    assert "import the version again, or delete it" in listed[hurt.digest].reason
    assert catalogue.manifest(hurt.digest) is None
    with pytest.raises(RejectedError, match=f"version {hurt.digest[:12]}.*damaged"):
        catalogue.update(hurt)
    catalogue.open()
    assert read_package(folder / hurt.digest).manifest.threshold == 0.5  # inference goes on
    assert put(catalogue, 2) == catalogue.get(hurt.digest)  # importing it again mends it
    assert left_over(folder) == []


def test_a_record_of_another_version_is_none(catalogue: ModelCatalogue, folder: Path) -> None:
    one, two = put(catalogue, 1), put(catalogue, 2)
    (folder / one.digest / ABOUT).replace(folder / two.digest / ABOUT)
    listed = {each.digest: each.reason for each in catalogue.versions()}
    assert "that of another version" in listed[two.digest]
    assert "No such file" in listed[one.digest]


@pytest.mark.parametrize("lost", [MANIFEST, "model-*"])
def test_a_lost_file_is_told_and_mended(catalogue: ModelCatalogue, folder: Path, lost: str) -> None:
    made = put(catalogue)
    next((folder / made.digest).glob(lost)).unlink()
    (listed,) = catalogue.versions()
    assert listed.state is VersionState.REFUSED
    assert "missing" in listed.reason
    assert listed.model == "beers"
    put(catalogue)
    assert catalogue.versions() == (made,)
    assert read_package(folder / made.digest).file.content == noise(1)


def test_a_rotten_model_is_replaced_by_a_whole_one(catalogue: ModelCatalogue, folder: Path) -> None:
    made = put(catalogue)
    (folder / made.digest / f"model-{made.digest[:12]}.tflite").write_bytes(b"rotten")
    put(catalogue)
    assert left_over(folder) == []


# -- crashes --------------------------------------------------------------------------------------


def test_what_a_crash_left_is_swept(catalogue: ModelCatalogue, folder: Path) -> None:
    made = put(catalogue)
    for name in (".incoming-abc", ".incoming-def"):
        (folder / name / "deep").mkdir(parents=True)
        (folder / name / "download").write_bytes(b"half")
    (folder / made.digest / f".{ABOUT}.new").write_bytes(b"half")
    catalogue.open()
    assert [each.name for each in folder.iterdir()] == [made.digest]
    assert left_over(folder) == []


def test_a_change_that_was_broken_off_is_finished(catalogue: ModelCatalogue, folder: Path) -> None:
    made = put(catalogue)
    manifest = folder / made.digest / MANIFEST
    before = manifest.read_bytes()
    put(catalogue, manifest=LABELS.model_copy(update={"threshold": 0.9}))
    manifest.write_bytes(before)  # the crash came after about.json, before manifest.json
    catalogue.open()
    assert read_package(folder / made.digest).manifest.threshold == 0.9


def test_a_kill_at_any_change_of_a_file_leaves_whole_versions(tmp_path: Path) -> None:
    kills = 0
    with KilledWork("support.import_work:store_twice") as work:
        while True:
            folder = tmp_path / str(kills)
            catalogue = ModelCatalogue(folder)
            catalogue.open()
            old = put(catalogue, 1)
            killed = work.run(kills + 1, folder=str(folder), number=2)
            catalogue.open()
            assert left_over(folder) == []
            listed = catalogue.versions()
            assert old in listed or listed[0].title == "again"
            for each in listed:
                assert each.state is VersionState.READY
                package = read_package(folder / each.digest)
                assert package.manifest.threshold == (0.8 if each.title == "again" else 0.5)
            if not killed:
                break
            kills += 1
    assert kills > 30


# -- disks ----------------------------------------------------------------------------------------


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "1m"):
        folder = tmp_path / "small" / "catalogue"
        catalogue = ModelCatalogue(folder)
        catalogue.open()
        first = put(catalogue, 1, size=400_000)
        elsewhere = tmp_path / "model.tflite"
        elsewhere.write_bytes(noise(2, 900_000))
        big = version(digest_of(elsewhere.read_bytes()))
        with pytest.raises(StorageUnavailable, match=f"disk of {folder} is full; make room"):
            catalogue.store(elsewhere, LABELS, big)
        assert elsewhere.exists()
        assert catalogue.versions() == (first,)
        assert left_over(folder) == []
        catalogue.delete(first.digest)
        catalogue.store(elsewhere, LABELS, big)
        assert left_over(folder) == []


def test_a_full_disk_keeps_what_was_said(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "1m"):
        folder = tmp_path / "small" / "catalogue"
        catalogue = ModelCatalogue(folder)
        catalogue.open()
        made = put(catalogue)
        with contextlib.suppress(OSError), (tmp_path / "small" / "filler").open("wb", 0) as filler:
            while True:
                filler.write(bytes(4096))
        with pytest.raises(StorageUnavailable, match="full"):
            catalogue.update(replace(made, documentation="x" * 20_000))
        with pytest.raises(StorageUnavailable, match="full"), catalogue.incoming() as work:
            catalogue.store(work / "none", LABELS, made)
        assert catalogue.versions() == (made,)
        assert left_over(folder) == []


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    catalogue = ModelCatalogue(tmp_path / "file" / "catalogue")
    with pytest.raises(StorageUnavailable, match=r"cannot be used: Not a directory .*file"):
        catalogue.open()
    with pytest.raises(StorageUnavailable, match="No such file"):
        ModelCatalogue(tmp_path / "none").versions()


# -- threads and processes ------------------------------------------------------------------------


def test_readers_see_whole_versions_while_one_writes(
    catalogue: ModelCatalogue, folder: Path
) -> None:
    in_force = put(catalogue, 999)
    wrong: list[object] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            wrong.extend(v for v in catalogue.versions() if v.state is not VersionState.READY)
            package = read_package(folder / in_force.digest)  # as the inference service does
            if package.manifest.threshold not in (0.5, 0.8):
                wrong.append(package)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(60):
            made = put(catalogue, number)
            catalogue.update(replace(made, title=str(number)))
            threshold = 0.5 if number % 2 else 0.8
            put(catalogue, 999, LABELS.model_copy(update={"threshold": threshold}))
            catalogue.prune(3, {in_force.digest})
    finally:
        done.set()
        reader.join()
    assert wrong == []


@contextmanager
def locked_by_another_process(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from nxai_cloud_sync.adapters.state_lock import state_lock\n"
        "with state_lock(Path(sys.argv[1])):\n"
        "    print(flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_one_process_a_state_folder(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with locked_by_another_process(folder) as other:
        message = rf"another process \(pid {other.pid}\) works in {folder}; stop it"
        with pytest.raises(ConfigurationError, match=message), state_lock(folder):
            pass
        other.kill()
        other.wait()
        with state_lock(folder):  # the kernel let go of it
            assert (folder / ".lock").read_text() == f"pid {os.getpid()}\n"
    with state_lock(folder):
        pass


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable, match="file/state"), state_lock(tmp_path / "file/state"):
        pass


def test_the_record_is_plain_json(catalogue: ModelCatalogue, folder: Path) -> None:
    made = put(catalogue, manifest=PackageManifest(labels=("Dose", "Größe")))
    about = json.loads((folder / made.digest / ABOUT).read_text())
    assert about["title"] == "Beers vs cans"
    assert about["manifest"]["labels"] == ["Dose", "Größe"]
    assert "Größe" in (folder / made.digest / ABOUT).read_text()
