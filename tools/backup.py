"""Back up a box, and bring it back: settings, passwords, pictures, models, data logger, .env.

    backup.py backup [FILE]     default: backups/nxai-TIME.tar.gz
    backup.py restore FILE      what is there now is put into backups/ first

In containers the box stands still while it is copied, so that all volumes are of one moment: what
SQLite and PostgreSQL leave behind then is what they start from after a power cut. `--folder .run`
does the same with the folder of a `make run` that is stopped.

The file is a tar: backup.json, env, and volumes/NAME/... or folder/...; with all passwords.
"""

import argparse
import contextlib
import fcntl
import gzip
import io
import json
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from containers import HELPER_IMAGE, ROOT, Box, Trouble, docker, numbers_of, say, version

FORMAT: Final = 1
ABOUT: Final = "backup.json"
ENV: Final = "env"
HEALTHY_WITHIN_S: Final = 300.0
COMPRESSION: Final = 1
"""Most of it is pictures, which do not get smaller; more would only take longer."""
SETTLE_S: Final = 1.0
"""Mosquitto writes what is retained when asked to, and says nothing of it."""
LEFT_OUT: Final = ("lock", "supervisord.pid", "broker")
"""Of a run folder: what is true only while it runs."""


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=("backup", "restore"))
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--folder", type=Path, help="of a `make run`, instead of containers")
    options = parser.parse_args()
    if options.task == "restore" and options.file is None:
        parser.error("which backup? as in: make restore FILE=backups/nxai-....tar.gz")
    file = options.file or new_file("nxai")
    try:
        if options.folder:
            work = back_up_folder if options.task == "backup" else restore_folder
            work(options.folder, file)
        elif options.task == "backup":
            back_up(Box(), file)
        else:
            restore(Box(), file)
    except Trouble as trouble:
        say(str(trouble))
        return 1
    return 0


def new_file(kind: str) -> Path:
    """Return a name in backups/ that says when."""
    return ROOT / "backups" / f"{kind}-{stamp()}.tar.gz"


def stamp() -> str:
    """Return the time as a part of a file's name."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}"


# -- containers ---------------------------------------------------------------------------------


def back_up(box: Box, file: Path) -> None:
    """Write all volumes and .env of a box into a file that only its owner reads.

    Raises:
        Trouble: there is nothing, or it cannot be written; no half file is left.
    """
    volumes = box.volumes()
    if not volumes:
        raise Trouble(f"There is no volume of a box called {box.project!r} to back up.")
    box.check_images()
    began = time.monotonic()
    with writing(file) as archive:
        about = {"format": FORMAT, "kind": "compose", "version": version(), "made": now()}
        put(archive, ABOUT, json.dumps(about | {"volumes": sorted(volumes)}, indent=2).encode())
        if box.env_file.is_file():
            put(archive, ENV, box.env_file.read_bytes())
        with standing_still(box):
            copy_volumes(volumes, archive)
    size = file.stat().st_size / 1e6
    say(f"{file}: {size:.1f} MB, {time.monotonic() - began:.0f} s, with every password of the box")


@contextlib.contextmanager
def standing_still(box: Box) -> Iterator[None]:
    """Freeze the containers that run; wait afterwards until they are as well as before."""
    running = box.containers(running=True)
    well = set(running) - box.unwell().keys()
    for container, name in running.items():
        if "mosquitto" in name:
            docker("kill", "--signal", "USR1", container)  # it writes what is retained
            time.sleep(SETTLE_S)
    frozen = []
    try:
        for container in running:
            docker("pause", container)
            frozen.append(container)
        yield
    finally:
        for container in frozen:
            docker("unpause", container)
    # The engine calls what was paused unhealthy until its next check, and Compose would start
    # nothing that depends on it.
    box.wait_healthy(HEALTHY_WITHIN_S, well)


def copy_volumes(volumes: dict[str, str], archive: tarfile.TarFile) -> None:
    """Copy the files of volumes into an archive, with their owners and rights."""
    command = ["docker", "run", "--rm", "--network", "none", "--user", "0", *mounts(volumes, "ro")]
    command += ["--entrypoint", "tar", HELPER_IMAGE, "--create", "--directory", "/box", "volumes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - we asked for a pipe
        assert process.stderr is not None  # noqa: S101 - as above
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as copied:
                for member in copied:
                    archive.addfile(member, copied.extractfile(member) if member.isreg() else None)
        except tarfile.TarError as error:
            raise Trouble(f"the volumes cannot be read: {error}") from error
        said = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise Trouble(f"the volumes cannot be read: {said}")


def mounts(volumes: dict[str, str], mode: str) -> list[str]:
    """Return the options that put volumes below /box/volumes."""
    pairs = (("--volume", f"{real}:/box/volumes/{n}:{mode}") for n, real in volumes.items())
    return [word for pair in pairs for word in pair]


def restore(box: Box, file: Path) -> None:
    """Make the box what it was; what it is now goes into a backup of its own.

    Raises:
        Trouble: the file is none of ours, of a newer version or damaged (nothing was changed), or
            the box does not start with it.
    """
    about = examine(file, "compose")
    box.check_images()
    if box.volumes():
        kept = new_file("before-restore")
        say("What is there now is kept:")
        back_up(box, kept)
    fill(box, file, about)
    say("Starting the box ...")
    box.compose("up", "--detach", "--no-build")
    box.wait_healthy(HEALTHY_WITHIN_S)
    say(f"The box is as of {about['made']} (version {about['version']}).")


def fill(box: Box, file: Path, about: dict[str, Any]) -> None:
    """Stop the box and replace volumes and .env by what a backup has."""
    box.compose("down", "--timeout", "30")
    volumes = box.ensure_volumes(about["volumes"])
    chosen = {name: volumes[name] for name in about["volumes"]}
    command = ["docker", "run", "--rm", "--interactive", "--network", "none", "--user", "0"]
    command += [*mounts(chosen, "rw"), "--entrypoint", "sh", HELPER_IMAGE, "-c"]
    command += [
        "find /box/volumes -mindepth 2 -delete && tar --extract --numeric-owner --directory /box"
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None  # noqa: S101 - we asked for a pipe
        assert process.stderr is not None  # noqa: S101 - as above
        with reading(file) as archive, contextlib.suppress(BrokenPipeError):
            with tarfile.open(fileobj=process.stdin, mode="w|") as handed:
                for member in archive:
                    if member.name.startswith("volumes/"):
                        data = archive.extractfile(member) if member.isreg() else None
                        handed.addfile(member, data)
            process.stdin.close()
        said = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise Trouble(f"the volumes cannot be written: {said}")
    with reading(file) as archive:
        for member in archive:
            if member.name == ENV:
                put_env_back(box.env_file, data_of(archive, member))


def put_env_back(path: Path, text: bytes) -> None:
    """Write .env; one that says something else is kept beside it."""
    if path.is_file():
        if path.read_bytes() == text:
            return
        kept = path.with_name(f".env.before-restore-{stamp()}")
        path.rename(kept)
        say(f"{path.name} was another one; that is now {kept.name}")
    path.touch(mode=0o600)
    path.write_bytes(text)


# -- a folder of `make run` ---------------------------------------------------------------------


def back_up_folder(folder: Path, file: Path) -> None:
    """Write the folder of a `make run` that is stopped into a file.

    Raises:
        Trouble: it runs, or there is none.
    """
    with stopped(folder), writing(file) as archive:
        about = {"format": FORMAT, "kind": "folder", "version": version(), "made": now()}
        put(archive, ABOUT, json.dumps(about, indent=2).encode())
        for path in sorted(folder.iterdir()):
            if path.name not in LEFT_OUT:
                archive.add(path, f"folder/{path.name}")
    say(f"{file}: {file.stat().st_size / 1e6:.1f} MB, with every password of the box")


def restore_folder(folder: Path, file: Path) -> None:
    """Make the folder what it was; the present one is renamed.

    Raises:
        Trouble: as `restore`, or it runs.
    """
    about = examine(file, "folder")
    with stopped(folder) if folder.is_dir() else contextlib.nullcontext():
        fresh = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700, parents=True)
        with reading(file) as archive:
            for member in archive:
                if member.name.startswith("folder/"):
                    member.name = member.name.removeprefix("folder/")
                    archive.extract(member, fresh)
        if folder.is_dir():
            kept = folder.with_name(f"{folder.name}.before-restore-{stamp()}")
            folder.rename(kept)
            say(f"What was there is kept in {kept}")
        fresh.rename(folder)
    say(f"{folder} is as of {about['made']} (version {about['version']}).")


@contextlib.contextmanager
def stopped(folder: Path) -> Iterator[None]:
    """Hold the lock of `make run`."""
    if not folder.is_dir():
        raise Trouble(f"There is no folder {folder} of a `make run`.")
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Trouble(f"A `make run` works in {folder}. Stop it with Ctrl-C first.") from None
        yield


# -- the file -----------------------------------------------------------------------------------


@contextlib.contextmanager
def writing(file: Path) -> Iterator[tarfile.TarFile]:
    """Write an archive aside, and give it its name when it is whole.

    Raises:
        Trouble: it cannot be written.
    """
    fresh = file.with_name(f"{file.name}.new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        with tarfile.open(fresh, "w:gz", compresslevel=COMPRESSION) as archive:
            yield archive
        fresh.rename(file)
    except OSError as error:
        raise Trouble(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        fresh.unlink(missing_ok=True)


@contextlib.contextmanager
def reading(file: Path) -> Iterator[tarfile.TarFile]:
    """Read an archive from its beginning to its end."""
    with file.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|gz") as archive:
        yield archive


def examine(file: Path, kind: str) -> dict[str, Any]:
    """Read a backup through, and return what it says of itself.

    Raises:
        Trouble: it is none, damaged, or of a newer version.
    """
    about: dict[str, Any] = {}
    try:
        with reading(file) as archive:
            for member in archive:
                refuse_elsewhere(member)
                if member.name == ABOUT:
                    about = json.loads(data_of(archive, member))
        with gzip.open(file) as whole:
            while whole.read(1 << 20):
                pass  # its checksum comes last
    except FileNotFoundError:
        raise Trouble(f"There is no file {file}.") from None
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise Trouble(f"{file} is no backup, or damaged: {error}. Nothing was changed.") from None
    if not about:
        raise Trouble(f"{file} is no backup of a box: it has no {ABOUT}.")
    made_by = str(about.get("version", ""))
    if about.get("format", 0) > FORMAT or numbers_of(made_by) > numbers_of(version()):
        raise Trouble(
            f"{file} is of version {made_by}, and this is {version()}, which cannot read what "
            "newer ones wrote. Upgrade first, then restore. Nothing was changed."
        )
    if about.get("kind") != kind:
        other = "make restore" if kind == "folder" else "tools/backup.py restore --folder"
        raise Trouble(f"{file} is of the other kind of box; it goes back with `{other}`.")
    return about


def refuse_elsewhere(member: tarfile.TarInfo) -> None:
    """Refuse a file that would be written outside.

    Raises:
        ValueError: it would.
    """
    path = Path(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"it would write to {member.name}")


def put(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(data), 0o600, int(time.time())
    archive.addfile(member, io.BytesIO(data))


def data_of(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return a file's bytes."""
    stream = archive.extractfile(member)
    return stream.read() if stream is not None else b""


def now() -> str:
    """Return the time as it is written into a backup."""
    return datetime.now(UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(main())
