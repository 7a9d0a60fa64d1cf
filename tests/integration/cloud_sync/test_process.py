"""The faults of the world through the running service: as a process, over a real Mosquitto, against
an Edge Impulse of our own. After each of them the pictures are what they were, and it goes on."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from nxai_common.contracts import commands as c
from nxai_common.contracts.progress import JobState, Progress
from nxai_common.contracts.status import ServiceState
from nxai_common.errors import BrokerUnavailable
from support.edge_impulse import (
    CutShort,
    Delay,
    Endless,
    Fault,
    Hang,
    Redirect,
    Reply,
    Training,
    Trickle,
    captive_portal,
    downloads,
    fomo,
    unsuccessful,
)
from support.loop import KEY, Loop, loop
from support.models_for_import import left_over
from support.retrained import retrained
from support.samples import totals_are_true
from support.service_forks import STOP_S
from support.shared import shared
from support.waiting import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

FLOAT32 = "models/ei_fomo_mnv2_010_96x96x1_beer_can_f32.tflite"
LABELS = ("beer", "can")
A_MODEL = "*/learn-data/*"
AN_UPLOAD = "POST /api/*/files"
QUICK_S = 3.0
"""A command is answered in milliseconds; this machine may be busy."""


def float32(number: int = 0) -> bytes:
    content = shared(FLOAT32).read_bytes()
    return retrained(content, number) if number else content


# -- what there is, here and there ----------------------------------------------------------------


@dataclass(frozen=True)
class Inventory:
    """All pictures, here and there."""

    rows: dict[str, str]
    """State by id, as the database has it."""
    files: frozenset[str]
    uploads: dict[str, str]
    """Content by name, at Edge Impulse."""


def inventory(walk: Loop) -> Inventory:
    state = walk.stack.folder / "cloud-sync"
    with closing(sqlite3.connect(state / "samples.db")) as database:
        rows = dict(database.execute("SELECT id, state FROM samples").fetchall())
    files = frozenset(path.stem for path in state.glob("pictures-*/*/*.jpg"))
    assert files == rows.keys()
    uploads = {sample.filename: sample.sha256 for sample in walk.project.uploaded()}
    assert len(uploads) == len(walk.project.uploaded()), "a picture is there twice"
    assert len(set(uploads.values())) == len(uploads)
    return Inventory(rows, files, uploads)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    folder = tmp_path_factory.mktemp("box") / "box"
    impulse = fomo(LABELS, float32=float32())
    with loop(folder, impulse, services=("inference", "cloud-sync")) as made:
        made.configure(updates={"policy": "off"})
        made.link()
        made.do(c.PullModel())
        yield made
    totals_are_true(folder / "cloud-sync")


@pytest.fixture
def walk(box: Loop) -> Iterator[Loop]:
    """The box, as every test finds it."""
    yield box
    box.emulator.faults.clear()
    link = box.ask_json(c.ShowLink())
    if link["trouble"] or (link["link"] or {}).get("role") != "admin":
        box.project.revoke(KEY)
        box.project.add_key(KEY)
        box.link()
        box.configure(updates={"policy": "off"})
    waiting = tuple(sample["id"] for sample in box.samples(state="approved"))
    box.ask(c.ReviewSamples(samples=waiting, decision="new"))


_numbers = iter(range(10_000))


def collects(walk: Loop) -> str:
    """See that a picture is kept that comes now; return its id."""
    number = next(_numbers)
    walk.collect(1, number)
    return str(walk.samples(limit=1)[0]["id"])


@contextmanager
def nothing_is_lost(walk: Loop) -> Iterator[None]:
    """Have an approved picture wait; see that it is there afterwards, and goes up once."""
    before = inventory(walk)
    waiting = collects(walk)
    walk.ask(c.ReviewSamples(samples=(waiting,), decision="approved"))
    try:
        yield
        after_fault = inventory(walk)
        assert after_fault.rows[waiting] == "approved"
        came = after_fault.rows.keys() - before.rows.keys()
        assert {name: after_fault.rows[name] for name in before.rows} == before.rows
        assert after_fault.uploads == before.uploads
    finally:
        walk.emulator.faults.clear()
    assert walk.do(c.UploadSamples()).details["uploaded"] == 1
    after = inventory(walk)
    assert after.rows == before.rows | dict.fromkeys(came, "new") | {waiting: "uploaded"}
    assert after.uploads.keys() - before.uploads.keys() == {f"{waiting}.jpg"}
    walk.do(c.PullModel())
    wait_for(lambda: problems(walk) == [], what="all is well")


def problems(walk: Loop) -> list[tuple[str, str]]:
    return [(p.about, p.reason) for p in walk.stack.status("cloud-sync").problems]


def fails(walk: Loop, command: c.CloudSyncCommand) -> str:
    """Do a job; return why it failed."""
    job = str(walk.ask(command).details["job"])
    step = walk.job_ended(lambda step: step.job == job)
    assert step.state is JobState.FAILED, step
    return step.text


def refused(walk: Loop, command: c.CloudSyncCommand) -> str:
    reply = walk.bus.request(command, 20)
    assert not reply.ok
    return reply.reason


def waits(walk: Loop, command: c.CloudSyncCommand, says: str) -> None:
    """Do a job that tries again and again; see why, and cancel it."""
    job = str(walk.ask(command).details["job"])
    heard: list[str] = []

    def tries_again() -> bool:
        while (delivery := walk.progress.receive(0.05)) is not None:
            delivery.acknowledge()
            assert isinstance(delivery.message, Progress)
            walk.steps.append(delivery.message)
            heard.append(delivery.message.text)
        return any("trying again in" in text and says in text for text in heard)

    wait_for(tries_again, 30, f"{says!r}; heard: {heard}")
    began = time.monotonic()
    walk.ask(c.CancelJob(job=job))
    assert walk.job_ended(lambda step: step.job == job).text == "cancelled"
    assert time.monotonic() - began < QUICK_S


# -- what Edge Impulse says -----------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One way in which it goes wrong."""

    cause: Callable[[Loop], Any]
    pull: str
    """Why no model comes."""
    upload: str = ""
    """Why no picture goes; empty: it is not tried."""
    for_good: bool = False
    """Whether a picture is refused: a person may approve it again."""
    mend: Callable[[Loop], Any] = field(default=lambda walk: None)  # noqa: ARG005 - nothing to do


def fault(route: str, does: Any) -> Callable[[Loop], Any]:
    return lambda walk: walk.emulator.faults.add(Fault(route, does, count=None))


def untrained(walk: Loop) -> None:
    with walk.emulator.lock:
        walk.project.impulse().learn[0].artefacts = ()


def trained(walk: Loop) -> None:
    walk.project.train(Training(downloads(float32()), labels=LABELS))


def without_image_block(walk: Loop) -> None:
    with walk.emulator.lock:
        walk.project.impulse().inputs = ()


def with_image_block(walk: Loop) -> None:
    with walk.emulator.lock:
        walk.project.impulse().inputs = fomo(LABELS).inputs


def not_built(walk: Loop) -> None:
    walk.project.train(Training(built=False, labels=LABELS))


CASES = {
    "no trained model": Case(
        untrained, "has no trained model yet: train it in Studio", mend=trained
    ),
    "no image block": Case(without_image_block, "image", mend=with_image_block),
    "retrained but not built": Case(not_built, "was changed after its last training", mend=trained),
    "captive portal": Case(
        fault("*", captive_portal()),
        "a web page came instead of data: is a captive portal or a proxy in the way",
        "a web page came instead of data: is a captive portal",
    ),
    "200 and success: false": Case(
        fault("*", unsuccessful("Out of luck")),
        "Edge Impulse refused: Out of luck (HTTP 200, when asked for",
        "Edge Impulse refused: Out of luck",
        for_good=True,
    ),
    "truncated download": Case(fault(A_MODEL, CutShort(5000)), "broke off in the middle"),
    "connection reset": Case(fault(A_MODEL, CutShort(5000, reset=True)), "closed the connection"),
    "download of 2 GB": Case(
        fault(A_MODEL, Endless(2 << 30, announced=True)),
        "is larger than 536,870,912 bytes: it is no model for here",
    ),
    "download without end": Case(
        fault(A_MODEL, Endless(None, start=b"\x1c\0\0\0TFL3")),
        "is larger than 536,870,912 bytes: it is no model for here",
    ),
    "server error": Case(
        fault("*", Reply(503)), "Edge Impulse says not now (HTTP 503", "Edge Impulse says not now"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_edge_impulse_says_leaves_everything_as_it_was(walk: Loop, name: str) -> None:
    case = CASES[name]
    with nothing_is_lost(walk):
        catalogue = walk.ask_json(c.ListModels())["versions"]
        case.cause(walk)
        try:
            said = fails(walk, c.PullModel())
            assert case.pull in said
            if case.for_good:
                assert walk.do(c.UploadSamples()).details["failed"] == 1
                (failed,) = walk.samples(state="failed")
                assert case.upload in failed["state_reason"]
                walk.ask(c.ReviewSamples(samples=(failed["id"],), decision="approved"))
            elif case.upload:
                waits(walk, c.UploadSamples(), case.upload)
            assert walk.ask_json(c.ListModels())["versions"] == catalogue
            assert left_over(walk.stack.folder / "catalogue") == []
            collects(walk)
        finally:
            case.mend(walk)


def test_a_redirect_to_another_host_does_not_get_the_key(walk: Loop) -> None:
    with nothing_is_lost(walk):
        to = Redirect(f"{walk.urls.elsewhere}/storage/model?signature=1")
        walk.emulator.faults.add(Fault(A_MODEL, to, count=None))
        assert "is neither TensorFlow Lite nor ONNX" in fails(walk, c.PullModel())
        (there,) = walk.emulator.asked("/storage/model")
        assert KEY not in str(there.headers)
        assert "x-api-key" not in there.headers
        to = Redirect(f"{walk.urls.elsewhere}/v1/api/projects")
        walk.emulator.faults.clear()
        walk.emulator.faults.add(Fault("*/api-key-info", to, count=None))
        fails(walk, c.PullModel())
        assert walk.emulator.asked("/v1/api/projects?") == []
        elsewhere = [r for r in walk.emulator.requests if r.server == "elsewhere"]
        assert elsewhere == [there]


def test_a_name_that_nobody_knows(walk: Loop) -> None:
    with nothing_is_lost(walk):
        unknown = "http://edge-impulse.invalid"
        words = ("link", "--studio", f"{unknown}/v1", "--ingestion", unknown)
        assert "goes to no other host" in walk.cli(*words, code=1)
        said = walk.cli(*words, text="ei_0123_of_that_host\n", code=1)
        assert (
            "name 'edge-impulse.invalid' not found: is this machine online, its DNS server set, "
            "and the address right?"
        ) in said
        assert walk.ask_json(c.ShowLink())["link"]["studio"] == walk.urls.studio


# -- keys -----------------------------------------------------------------------------------------


def test_a_key_that_is_revoked_stops_what_goes_by_itself_alone(walk: Loop) -> None:
    with nothing_is_lost(walk):
        walk.project.revoke(KEY)
        walk.configure(updates={"policy": "promote"}, upload={"mode": "automatic"})
        wait_for(lambda: problems(walk), 40, "the key is refused")
        ((about, reason),) = problems(walk)
        assert about == "edge impulse"
        # What was asked when it was refused is named, and may be the next thing by the next line.
        refused = "Edge Impulse refused the API key: Invalid API key (HTTP 401"
        assert reason.startswith(refused)
        assert walk.ask_json(c.ShowLink())["trouble"].startswith(refused)
        assert f"trouble: {refused}" in walk.cli("show")
        asked = len(walk.emulator.requests)
        collects(walk)
        assert "refused the API key" in fails(walk, c.PullModel())
        walk.configure(updates={"policy": "off"})
        assert "refused the API key" in fails(walk, c.UploadSamples())
        # What was asked for by hand, and nothing else.
        assert {r.path.partition("?")[0] for r in list(walk.emulator.requests)[asked:]} <= {
            "/v1/api/projects/api-key-info",
            "/api/split/files",
        }
        walk.project.add_key(KEY)
        walk.link()
        wait_for(lambda: problems(walk) == [], what="all is well")


def test_a_key_of_another_project_is_noticed(walk: Loop) -> None:
    other = walk.emulator.add_project("Somebody else's", key="ei_0123_of_somebody_else")
    other.add_impulse(fomo(LABELS, float32=float32()))
    file = walk.stack.folder / "cloud-sync/edge-impulse-key"
    with nothing_is_lost(walk):
        said = walk.cli(
            "link", "--key-file", "-", "--project", str(walk.project.id),
            text="ei_0123_of_somebody_else\n", code=1,
        )  # fmt: skip
        assert (
            f"the key belongs to project {other.id}, not to {walk.project.id}; use a key of that "
            "project (Dashboard > Keys); the key from before stays"
        ) in said
        file.write_text("ei_0123_of_somebody_else\n")  # as somebody may replace a secret
        assert (
            f"the API key belongs to project {other.id}, but project {walk.project.id} is linked"
        ) in fails(walk, c.PullModel())
        assert other.uploaded() == []
        file.write_text(f"{KEY}\n")
    assert other.uploaded() == []


def test_a_key_that_can_only_upload_does_that(walk: Loop) -> None:
    walk.project.add_key("ei_0123_that_sends", "ingestiononly")
    before = inventory(walk)
    said = walk.cli("link", "--key-file", "-", text="ei_0123_that_sends\n")
    assert (
        "a key with role 'ingestiononly' can only upload pictures; to import models use one with "
        "role 'admin' or 'readonly'"
    ) in said
    assert "can only upload pictures" in refused(walk, c.PullModel())
    assert "can only upload pictures" in refused(walk, c.RetrainModel(confirm=True))
    picture = collects(walk)
    walk.ask(c.ReviewSamples(samples=(picture,), decision="approved"))
    assert walk.do(c.UploadSamples()).details["uploaded"] == 1
    after = inventory(walk)
    assert after.uploads.keys() - before.uploads.keys() == {f"{picture}.jpg"}
    walk.link()


# -- servers that do not answer -------------------------------------------------------------------


def answered(walk: Loop) -> float:
    """Return how long a command takes."""
    began = time.monotonic()
    walk.ask(c.ListModels())
    return time.monotonic() - began


def test_while_a_server_trickles_all_else_goes_on(walk: Loop) -> None:
    with nothing_is_lost(walk):
        walk.project.train(Training(downloads(float32(7)), labels=LABELS))
        walk.emulator.faults.add(Fault(A_MODEL, Trickle(every_s=0.2, at_once=1), count=None))
        asked = len(walk.emulator.asked("/learn-data/"))
        pull = str(walk.ask(c.PullModel()).details["job"])
        wait_for(lambda: len(walk.emulator.asked("/learn-data/")) > asked, 30)
        goes_on(walk)
        began = time.monotonic()
        walk.ask(c.CancelJob(job=pull))
        assert walk.job_ended(lambda step: step.job == pull).text == "cancelled"
        assert time.monotonic() - began < QUICK_S


def goes_on(walk: Loop) -> None:
    """See that commands are answered, pictures kept, and the watchdog fed."""
    for _ in range(3):
        assert answered(walk) < QUICK_S
        collects(walk)
    path = walk.stack.folder / "cloud-sync.heartbeat"
    beaten_at = float(path.read_text().split()[0])
    assert time.monotonic() - beaten_at < QUICK_S


def test_while_servers_hang_all_else_goes_on_and_it_ends_in_its_time(walk: Loop) -> None:
    picture = collects(walk)
    walk.ask(c.ReviewSamples(samples=(picture,), decision="approved"))
    before = inventory(walk)
    walk.emulator.faults.add(Fault("*", Hang(), count=None))
    asked = len(walk.emulator.requests)
    walk.ask(c.PullModel())
    job = str(walk.ask(c.UploadSamples()).details["job"])
    wait_for(lambda: len(walk.emulator.requests) >= asked + 2, 30, "both hang")
    goes_on(walk)
    assert walk.ask(c.CancelJob(job=job)).reason == (
        "it ends once the request that is under way is over"
    )
    goes_on(walk)
    came = inventory(walk).rows.keys() - before.rows.keys()
    began = time.monotonic()
    assert walk.stack.processes["cloud-sync"].stop() == 0
    assert time.monotonic() - began < STOP_S - 2
    walk.emulator.faults.clear()
    walk.stack.start("cloud-sync", "cloud-sync")
    walk.stack.wait_running()
    assert walk.do(c.UploadSamples()).details["uploaded"] == 1
    after = inventory(walk)
    assert after.rows == before.rows | dict.fromkeys(came, "new") | {picture: "uploaded"}
    assert len(after.uploads) == len(before.uploads) + 1


# -- two at once ----------------------------------------------------------------------------------


def test_a_second_service_on_the_same_folder_says_so_and_ends(walk: Loop) -> None:
    first = walk.stack.processes["cloud-sync"]
    second = walk.stack.start("cloud-sync", "another-sync")
    del walk.stack.processes["another-sync"]
    assert second.process.wait(60) == 2
    assert (
        f"another process (pid {first.process.pid}) works in {walk.stack.folder / 'cloud-sync'}; "
        "stop it, or give this one another NXAI_CLOUD_SYNC_STATE_DIR"
    ) in second.text()
    assert "Traceback" not in second.text()
    assert answered(walk) < QUICK_S
    # One of the very same name, as somebody starts it by hand, takes the broker's place of the
    # first for a moment.
    log = walk.stack.folder / "again.log"
    with log.open("ab") as output:
        again = subprocess.run(
            [sys.executable, "-m", "nxai_cloud_sync"],
            env={**walk.environment, "NXAI_RUN_DIR": str(walk.stack.folder / "again")},
            stdout=output,
            stderr=output,
            timeout=60,
            check=False,
        )
    assert again.returncode == 2, log.read_text()
    wait_for(lambda: answers_again(walk), 60, "the first one is back at the broker")
    wait_for(lambda: walk.stack.status("cloud-sync").state is ServiceState.RUNNING, 15)
    assert first.process.poll() is None
    collects(walk)


def answers_again(walk: Loop) -> bool:
    """Ask; a command that comes while the service is away from the broker is lost."""
    try:
        return walk.bus.request(c.ListModels(), 3).ok
    except BrokerUnavailable:
        return False


def test_two_people_who_pull_at_once_download_once(walk: Loop) -> None:
    walk.project.train(Training(downloads(float32(8)), labels=LABELS))
    asked = len(walk.emulator.asked("/learn-data/"))
    walk.emulator.faults.add(Fault(A_MODEL, Delay(1.0)))
    jobs = [walk.ask(c.PullModel()).details["job"] for _ in range(3)]
    assert len(set(jobs)) == 1
    step = walk.job_ended(lambda step: step.job == jobs[0])
    assert step.details["state"] == "ready"
    assert len(walk.emulator.asked("/learn-data/")) == asked + 1
