"""Commands, jobs and pictures of the service, on a bus in memory with real parts behind it."""

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nxai_cloud_sync import jobs
from nxai_cloud_sync.answers import COMMANDS
from nxai_cloud_sync.core.project import Role
from nxai_cloud_sync.incoming import LEFT_OVER_S
from nxai_cloud_sync.jobs import LONGEST_QUEUE
from nxai_common.contracts import commands as c
from nxai_common.contracts.collecting import RollbackOptions, ShadowOptions
from nxai_common.contracts.deployments import Deployment, Deployments, Phase, Version
from nxai_common.contracts.progress import JobState
from nxai_common.contracts.samples import Sample
from nxai_common.contracts.status import ServiceState
from support.cloud_sync import BORN, model, retained
from support.cloud_sync_service import KEY, LABELS, Box, box, status
from support.edge_impulse import Fault, Hang, Trickle
from support.models_for_import import digest_of, noise
from support.samples import jpeg, message
from support.shared import shared
from support.waiting import wait_for

pytestmark = pytest.mark.unit

MODEL = "beers-vs-cans"
FIRST = digest_of(noise(1))
SECOND = digest_of(noise(2))
NOBODY = "f" * 64
A_MODEL = "*/learn-data/*"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Box]:
    """A box that has just been switched on, for the first time."""
    with box(tmp_path) as made:
        made.start()
        made.configure()
        made.turn(times=4)  # found out: nothing is deployed
        yield made


@pytest.fixture
def linked(here: Box) -> Box:
    here.link()
    here.inference.runs()
    return here


@pytest.fixture
def deployed(linked: Box) -> Box:
    """A box whose first model runs on a camera, and a second version is there."""
    linked.do(c.PullModel())
    linked.turn()
    linked.train(2)
    linked.do(c.PullModel())
    linked.yes(c.DeployModel(model=MODEL, digest=FIRST, cameras=("front",)))
    linked.inference.runs(model(MODEL, FIRST))
    linked.turn(times=3)
    return linked


def publish(box: Box, *samples: Sample) -> None:
    for each in samples:
        box.outside.publish(each)


def collected(box: Box, count: int) -> list[dict[str, Any]]:
    """Return what is kept, once it is so many."""
    return box.until(
        lambda: (found := listed(box))["total"] == count and found["samples"], step_s=0.1
    )


def listed(box: Box, **wanted: Any) -> Any:
    return box.json(c.ListSamples(**wanted))


# -- every command, and what it says when it cannot be --------------------------------------------


def test_there_is_an_answer_to_every_command(here: Box) -> None:
    """Also to one that a later version of this program adds and forgets."""
    assert set(here.service._answers._handlers) == set(COMMANDS)
    assert set(COMMANDS) == set(c.CloudSyncCommand.__subclasses__())


UNLINKED = "no Edge Impulse project is linked; link one with a key of the project"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (c.PullModel(), UNLINKED),
        (c.CheckUpdates(), UNLINKED),
        (c.UploadSamples(), UNLINKED),
        (c.RetrainModel(), UNLINKED),
        (c.RetrainModel(confirm=True), UNLINKED),
        (c.ImportModel(file="none.tflite"), "there is no file 'none.tflite' in {incoming}"),
        (c.ImportModel(file="../state/link.json"), "there is no file '../state/link.json' in"),
        (c.ImportModel(file=".."), "there is no file '..' in {incoming}"),
        (c.ImportModel(file=""), "there is no file '' in {incoming}"),
        (c.EditModel(digest=NOBODY, title="x"), "there is no version ffffffffffff"),
        (c.DeleteModel(digest=NOBODY), "there is no version ffffffffffff"),
        (c.DeployModel(model="nuts", cameras=("front",)), "there is no model 'nuts'; known: none"),
        (c.UndeployModel(model="nuts"), "model 'nuts' is not deployed; deployed: none"),
        (c.PromoteModel(model="nuts"), "model 'nuts' is not deployed; deployed: none"),
        (c.EndShadow(model="nuts"), "model 'nuts' is not deployed; deployed: none"),
        (c.RollBackModel(model="nuts"), "model 'nuts' is not deployed; deployed: none"),
        (c.ShowSample(sample="nobody"), "there is no picture 'nobody'"),
        (
            c.ReviewSamples(samples=("nobody",), decision="approved"),
            "nobody: there is no such picture",
        ),
        (
            c.ReviewSamples(samples=("one", "two"), decision="approved", boxes=()),
            "boxes belong to one picture; name one",
        ),
        (c.CancelJob(job="upload-1"), "there is no job 'upload-1'"),
    ],
    ids=lambda value: value.name if isinstance(value, c.Command) else "",
)
def test_what_cannot_be_is_told_in_plain_words(
    here: Box, command: c.CloudSyncCommand, reason: str
) -> None:
    incoming = str(here.settings.incoming_dir)
    assert reason.format(incoming=incoming) in here.no(command)
    assert here.heard() == []
    assert here.asked() == 0


def test_a_box_without_anything_says_so(here: Box) -> None:
    assert here.json(c.ShowLink()) == {"link": None, "impulses": [], "trouble": ""}
    assert here.json(c.ListModels()) == {"versions": [], "deployments": []}
    assert listed(here) == {"samples": [], "total": 0}
    assert here.yes(c.UnlinkProject()).reason == ""
    assert here.yes(c.ReviewSamples(samples=(), decision="approved")).details == {"changed": 0}
    assert here.told() == []


def test_a_command_that_this_program_stumbles_over_ends_nothing(
    here: Box, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(*_: object, **__: object) -> None:
        raise LookupError("a mistake")

    monkeypatch.setattr(here.samples, "page", stumble)
    assert here.no(c.ListSamples()) == "unexpected LookupError; see the log"
    assert "a mistake" in caplog.text
    assert here.json(c.ListModels())["versions"] == []


# -- the link -------------------------------------------------------------------------------------


def test_a_project_is_linked_shown_and_forgotten(here: Box) -> None:
    done = here.link()
    assert done.text == f"linked project {here.project.id} (Beers vs cans)"
    assert done.details["role"] == Role.ADMIN.value
    shown = here.json(c.ShowLink())
    assert shown["link"]["project"] == here.project.id
    assert shown["link"]["studio"] == here.urls.studio
    assert shown["trouble"] == ""
    (impulse,) = shown["impulses"]
    assert (impulse["width"], impulse["height"], impulse["resize_mode"]) == (96, 96, "fit-short")
    assert [block["kind"] for block in impulse["learn_blocks"]] == ["object-detection"]
    here.yes(c.UnlinkProject())
    assert here.json(c.ShowLink())["link"] is None
    assert not here.settings.key_path.exists()
    assert here.no(c.PullModel()) == UNLINKED


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ({"project": 5}, "the key belongs to project 1001, not to 5"),
        ({"impulse": 9}, "no impulse 9"),
        ({"learn_block": 9}, "no learn block 9"),
        ({"studio": "ftp://studio", "ingestion": "ftp://in"}, "'ftp://studio' is no address of"),
        ({"studio": "http://127.0.0.1:9/v1", "ingestion": "http://127.0.0.1:9"}, "nothing listens"),
        ({"studio": "http://127.0.0.1:9/v1"}, "say where pictures go to, too"),
    ],
)
def test_what_cannot_be_linked_leaves_the_link_as_it_was(
    linked: Box, command: dict[str, Any], reason: str
) -> None:
    before = linked.json(c.ShowLink())
    linked.project.add_key("ei_0123_new")
    linked.key("ei_0123_new")  # the one before goes to no other host
    assert reason in linked.fails(c.LinkProject(**command))
    assert linked.json(c.ShowLink()) == before
    assert linked.told() == [], "who asked was told; it is no trouble of the box"


def test_a_key_says_what_it_cannot_do(here: Box) -> None:
    here.project.add_key("ei_0123_reader", "readonly")
    note = here.link("ei_0123_reader").details["note"]
    assert note == (
        "a key with role 'readonly' cannot upload pictures or retrain; use one with role 'admin' "
        "for that"
    )
    assert here.no(c.UploadSamples()) == here.no(c.RetrainModel()) == note
    here.do(c.PullModel())
    here.project.add_key("ei_0123_sender", "ingestiononly")
    note = here.link("ei_0123_sender").details["note"]
    assert "can only upload pictures" in str(note)
    assert here.no(c.PullModel()) == here.no(c.CheckUpdates()) == note
    here.do(c.UploadSamples())
    assert here.told() == []


def test_unlinking_ends_what_is_under_way_and_nothing_more_is_sent(deployed: Box) -> None:
    here = deployed
    here.train(3)
    here.do(c.CheckUpdates())
    assert "2026-12-03" in report_of(here).offered
    here.emulator.faults.add(Fault(A_MODEL, Trickle(0.01), count=None))
    pull = here.started(c.PullModel())
    here.until(lambda: here.asked("/learn-data/") == 3, step_s=0)
    here.yes(c.UnlinkProject())
    assert here.end_of(pull).text == "cancelled"
    asked = here.asked()
    here.configure(updates={"policy": "promote"}, upload={"mode": "automatic"})
    here.turn(step_s=60, times=20)
    assert here.asked() == asked
    assert report_of(here).offered == "", "nobody can have it any more"
    assert here.told() == []


def test_another_project_takes_the_place_of_the_one_before(deployed: Box) -> None:
    here = deployed
    here.train(3)
    here.do(c.CheckUpdates())
    other = here.emulator.add_project("Parcels", key="ei_0123_parcels")
    other.add_impulse(here.project.impulse())
    here.link("ei_0123_parcels")
    assert report_of(here).offered == ""
    assert here.json(c.ShowLink())["link"]["name"] == "Parcels"


# -- models ---------------------------------------------------------------------------------------


def report_of(box: Box) -> Deployment:
    (told,) = retained(box.outside, Deployment)
    return told


def test_a_model_comes_runs_is_tried_promoted_and_rolled_back(linked: Box) -> None:
    here = linked
    done = here.do(c.PullModel())
    assert done.details["state"] == "ready"
    assert done.text.startswith(f"version 2026-01-05 08:30 of model {MODEL} is ready")
    assert "say on which cameras; known: back, front" in here.no(c.DeployModel(model=MODEL))
    assert "there is no camera 'side'" in here.no(c.DeployModel(model=MODEL, cameras=("side",)))
    said = here.yes(c.DeployModel(model=MODEL, cameras=("front",))).reason
    assert said == f"version {FIRST[:12]} of model {MODEL} goes in force on front"
    here.inference.runs(model(MODEL, FIRST))
    here.until(lambda: report_of(here).phase is Phase.RUNNING)
    assert here.yes(c.DeployModel(model=MODEL, cameras=("front", "back"))).reason == (
        f"model {MODEL} on front, back"
    )
    here.train(2)
    here.do(c.PullModel())
    said = here.yes(c.DeployModel(model=MODEL)).reason
    assert said == (f"version {SECOND[:12]} is tried beside {FIRST[:12]} on front, back")
    assert here.yes(c.PromoteModel(model=MODEL)).reason == (
        f"version {SECOND[:12]} goes in force; its trial was not over, and had seen 0 frames"
    )
    here.inference.runs(model(MODEL, SECOND))
    here.until(lambda: report_of(here).phase is Phase.PROBATION)
    said = here.yes(c.RollBackModel(model=MODEL)).reason
    assert said == f"version {FIRST[:12]} goes in force again"
    here.yes(c.DeployModel(model=MODEL, digest=SECOND))
    assert here.yes(c.EndShadow(model=MODEL)).reason == "the trial is over"
    assert here.yes(c.UndeployModel(model=MODEL)).reason == f"model {MODEL} was taken away"
    assert retained(here.outside, Deployment) == []
    (desired,) = retained(here.outside, Deployments)
    assert desired.models == ()


def test_versions_are_listed_described_and_deleted(deployed: Box) -> None:
    found = deployed.json(c.ListModels())
    assert [version["digest"] for version in found["versions"]] == [SECOND, FIRST]
    (entry,) = found["deployments"]
    assert (entry["model"], entry["installed"]["digest"]) == (MODEL, FIRST)
    deployed.yes(c.EditModel(digest=FIRST, title="Beers", documentation="By hand."))
    shown = deployed.json(c.ListModels())["versions"][1]
    assert (shown["title"], shown["documentation"]) == ("Beers", "By hand.")
    assert deployed.no(c.DeleteModel(digest=FIRST)) == (
        f"version {FIRST[:12]} is in use: model '{MODEL}' runs it on front"
    )
    deployed.yes(c.DeleteModel(digest=SECOND))
    assert [v["digest"] for v in deployed.json(c.ListModels())["versions"]] == [FIRST]


def test_a_file_is_imported_and_makes_room_again(here: Box) -> None:
    here.inference.runs()
    here.settings.incoming_dir.mkdir()
    file = here.settings.incoming_dir / "beers.tflite"
    file.write_bytes(shared("models/ei_fomo_mnv2_010_96x96x1_beer_can_f32.tflite").read_bytes())
    done = here.do(c.ImportModel(file=file.name, labels=LABELS, title="From a file"))
    assert (done.details["model"], done.details["state"]) == ("from-a-file", "ready")
    assert not file.exists()
    file.write_text("no model")
    assert "is neither TensorFlow Lite nor ONNX" in here.fails(c.ImportModel(file=file.name))
    assert not file.exists()
    assert list(here.settings.incoming_dir.iterdir()) == []
    assert here.told() == []


def test_files_that_belong_to_no_job_go_at_the_next_start(here: Box) -> None:
    incoming = here.settings.incoming_dir
    incoming.mkdir()
    (incoming / "folder").mkdir()
    file = incoming / "left.tflite"
    file.touch()
    here.stop()
    here.start().turn()
    assert file.exists(), "somebody may have just put it there"
    here.stop()
    born = file.stat().st_ctime

    with pytest.MonkeyPatch.context() as later:
        later.setattr(time, "time", lambda: born + LEFT_OVER_S + 1)
        here.start().turn()
    assert not file.exists()
    assert here.told() == []


def test_a_model_that_does_not_work_is_kept_with_the_reason(linked: Box) -> None:
    linked.inference.refuse = "an operator that nothing here runs"
    done = linked.do(c.PullModel())
    assert done.details["state"] == "refused"
    assert "was refused: an operator that nothing here runs" in done.text
    reason = linked.no(c.DeployModel(model=MODEL, cameras=("front",)))
    assert reason == (
        f"no version of model '{MODEL}' can be used: an operator that nothing here runs"
    )


# -- jobs -----------------------------------------------------------------------------------------


def test_who_asks_for_what_is_under_way_gets_that_job(linked: Box) -> None:
    hanging = Hang()
    linked.emulator.faults.add(Fault(A_MODEL, hanging))
    first = linked.started(c.PullModel())
    again = linked.yes(c.PullModel())
    assert (again.details["job"], again.reason) == (first, "under way already")
    other = linked.started(c.PullModel(artefact="int8"))
    assert other != first
    waiting = next(step for step in linked.heard() if step.job == other)
    assert (waiting.state, waiting.text) == (JobState.WAITING, "waits until pull is done")
    assert linked.started(c.PullModel(artefact="int8")) == other
    hanging.until.set()
    assert linked.end_of(first).state is linked.end_of(other).state is JobState.DONE
    assert len(linked.json(c.ListModels())["versions"]) == 2
    assert linked.started(c.PullModel()) not in (first, other)


def test_what_is_asked_for_while_too_much_waits_is_refused(linked: Box) -> None:
    hanging = Hang()
    linked.emulator.faults.add(Fault(A_MODEL, hanging))
    linked.started(c.PullModel())
    linked.until(lambda: linked.asked("/learn-data/") == 1, step_s=0)
    for number in range(LONGEST_QUEUE):
        linked.started(c.PullModel(model=f"model-{number}"))
    assert linked.no(c.PullModel(model="one-more")) == "too many jobs wait already; ask again later"
    assert linked.no(c.CheckUpdates()) == "too many jobs wait already; ask again later"
    linked.do(c.UploadSamples())  # has a thread of its own
    hanging.until.set()
    linked.until(lambda: len(linked.ended("pull")) == 1 + LONGEST_QUEUE, step_s=0)


def test_a_job_is_cancelled_while_it_waits_and_while_it_runs(linked: Box) -> None:
    hanging = Hang()
    linked.emulator.faults.add(Fault(A_MODEL, hanging))
    running = linked.started(c.PullModel())
    linked.until(lambda: linked.asked("/learn-data/") == 1, step_s=0)
    waiting = linked.started(c.PullModel(artefact="int8"))
    linked.yes(c.CancelJob(job=waiting))
    assert linked.end_of(waiting).text == "cancelled"
    linked.yes(c.CancelJob(job=running))
    hanging.until.set()
    assert linked.end_of(running).text == "cancelled"
    assert linked.no(c.CancelJob(job=running)) == f"job '{running}' is over: cancelled"
    assert linked.json(c.ListModels())["versions"] == []
    assert linked.told() == [], "a person who changes their mind is no trouble"
    assert linked.service.report().counters["jobs_failed"] == 0


def test_what_a_cancelled_job_fails_of_afterwards_does_not_matter(linked: Box) -> None:
    hanging = Hang()
    linked.emulator.faults.add(Fault("*/api-key-info", hanging))
    asked = linked.asked("api-key-info")
    job = linked.started(c.PullModel())
    linked.until(lambda: linked.asked("api-key-info") > asked, step_s=0)
    linked.yes(c.CancelJob(job=job))
    linked.project.revoke(KEY)  # what it hears now is a no
    hanging.until.set()
    assert linked.end_of(job).text == "cancelled"
    assert linked.told() == []


def test_jobs_are_counted(linked: Box) -> None:
    counters = linked.service.report().counters
    assert (counters["jobs_done"], counters["jobs_failed"]) == (1, 0)
    linked.emulator.faults.add(Fault("*/downloads", Hang()))
    linked.do(c.UploadSamples())
    with linked.emulator.lock:
        linked.project.impulse().learn[0].artefacts = ()
    linked.emulator.faults.clear()
    linked.fails(c.PullModel())
    counters = linked.service.report().counters
    assert (counters["jobs_done"], counters["jobs_failed"]) == (2, 1)


# -- pictures -------------------------------------------------------------------------------------


def owed(box: Box) -> int:
    """Return how many pictures the broker still waits for."""
    return sum(kind is Sample for _, _, kind in box.bus._unacknowledged.values())


def test_pictures_are_listed_shown_and_decided_on(here: Box) -> None:
    publish(here, message(1, "nut", value=0.2), message(2, "bolt", value=0.9))
    publish(here, message(3, camera="back"), message(4, camera="unknown"))
    newest, *_ = collected(here, 3)
    assert newest["camera"] == "back"
    assert [s["value"] for s in listed(here, camera="front", by_value=True)["samples"]] == [
        0.9,
        0.2,
    ]
    (nut,) = listed(here, label="nut")["samples"]
    assert listed(here, limit=1, offset=1)["total"] == 3
    picture = here.yes(c.ShowSample(sample=nut["id"]))
    assert bytes(picture.attachment) == jpeg(1)
    assert picture.details == {"width": 64, "height": 48}
    box = c.LabelledBox(label="nut", x=1, y=2, width=3, height=4)
    changed = here.yes(
        c.ReviewSamples(samples=(nut["id"],), decision="approved", boxes=(box,))
    ).details
    assert changed == {"changed": 1}
    (approved,) = listed(here, state="approved")["samples"]
    assert [(b["label"], b["x"], b["width"]) for b in approved["boxes"]] == [("nut", 1, 3)]
    mixed = here.yes(c.ReviewSamples(samples=(nut["id"], "nobody"), decision="discarded"))
    assert mixed.details == {"changed": 1}
    assert mixed.reason == "nobody: there is no such picture"
    (path,) = here.settings.state_dir.glob(f"pictures-*/*/{nut['id']}.jpg")
    path.unlink()
    assert here.no(c.ShowSample(sample=nut["id"])) == (
        "the picture cannot be read: No such file or directory"
    )


def test_a_picture_is_acknowledged_once_it_is_stored(tmp_path: Path) -> None:
    with box(tmp_path) as here:
        in_the_way = here.settings.state_dir / "samples.db"
        in_the_way.mkdir(parents=True)
        here.start()
        here.configure()
        here.turn(times=4)
        publish(here, *(message(number) for number in range(5)))
        here.until(lambda: any("collected pictures" in told for told in here.told()))
        assert owed(here) == 5
        assert "samples.db" in here.no(c.ListSamples())
        assert here.json(c.ListModels())["versions"] == []  # what needs no pictures goes on
        here.broker.stop()
        here.broker.start()  # what is owed comes again, and is held once
        here.until(lambda: here.service.report().gauges["samples_held"] == 5)
        in_the_way.rmdir()
        here.configure()
        collected(here, 5)
        here.until(lambda: owed(here) == 0)
        assert here.told() == []
        assert here.service.report().counters["samples_stored"] == 5


def test_pictures_wait_until_it_is_known_what_is_wanted(tmp_path: Path) -> None:
    with box(tmp_path) as here:
        here.start()
        publish(here, message(1), message(2))
        here.turn(times=10)
        assert owed(here) == 2
        assert here.service.report().gauges["samples_held"] == 2
        here.configure()
        collected(here, 2)
        here.until(lambda: owed(here) == 0)
        assert here.service.report().configuration_revision == "r1010.0"


def test_what_a_person_approved_goes_up(linked: Box) -> None:
    publish(linked, *(message(number) for number in range(4)))
    one, two, *_ = collected(linked, 4)
    linked.yes(c.ReviewSamples(samples=(one["id"], two["id"]), decision="approved"))
    done = linked.do(c.UploadSamples())
    size = one["bytes"] + two["bytes"]
    assert done.text == f"2 pictures uploaded ({size / 1e6:.1f} MB)"
    assert (done.details["uploaded"], done.details["bytes"]) == (2, size)
    assert {s.filename for s in linked.project.uploaded()} == {
        f"{one['id']}.jpg",
        f"{two['id']}.jpg",
    }
    again = linked.do(c.UploadSamples(samples=(one["id"],)))
    assert again.text == (
        "0 pictures uploaded (0.0 MB); 1 stay here: not approved, or of a camera that never sends"
    )
    assert linked.do(c.UploadSamples(include_new=True)).details["uploaded"] == 2
    assert len(linked.project.uploaded()) == 4
    states = {sample["state"] for sample in listed(linked)["samples"]}
    assert states == {"uploaded"}


def test_what_was_there_before_and_what_is_refused_is_told(linked: Box) -> None:
    publish(linked, *(message(number) for number in range(3)))
    one, *_ = collected(linked, 3)
    linked.project.add_sample(f"{one['id']}.jpg", jpeg(2))
    path = next(
        linked.settings.state_dir.glob(f"pictures-*/*/{listed(linked)['samples'][2]['id']}.jpg")
    )
    path.write_bytes(b"")
    done = linked.do(c.UploadSamples(include_new=True))
    assert "1 of them were there already" in done.text
    assert "1 were refused: the list of pictures says why" in done.text


# -- deployments ----------------------------------------------------------------------------------


def left(model: str) -> Deployment:
    return Deployment(
        model=model, phase=Phase.RUNNING, since=BORN, installed=Version(digest=NOBODY)
    )


def test_reports_of_models_that_are_deployed_no_more_are_cleared(deployed: Box) -> None:
    deployed.outside.publish(left("long-gone"))
    deployed.until(lambda: [r.model for r in retained(deployed.outside, Deployment)] == [MODEL])
    deployed.stop()
    deployed.outside.publish(left("gone-while-away"))
    deployed.start()
    deployed.until(lambda: [r.model for r in retained(deployed.outside, Deployment)] == [MODEL])


def test_what_is_deployed_outlives_the_process(deployed: Box) -> None:
    before = retained(deployed.outside, Deployments)
    deployed.stop()
    deployed.start().turn()
    assert retained(deployed.outside, Deployments) == before
    assert deployed.service.report().gauges["deployed"] == 1
    assert deployed.json(c.ShowLink())["link"]["project"] == deployed.project.id


def test_trials_go_by_the_rules_of_the_configuration(
    deployed: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[ShadowOptions, RollbackOptions, bool]] = []

    def look(shadow: ShadowOptions, rollback: RollbackOptions, *, promotes: bool) -> None:
        seen.append((shadow, rollback, promotes))

    monkeypatch.setattr(deployed.deployer, "look", look)
    deployed.configure(shadow={"frames": 7}, rollback={"errors": 3})
    deployed.turn(times=2)
    assert (seen[-1][0].frames, seen[-1][1].errors, seen[-1][2]) == (7, 3, False)
    deployed.configure(updates={"policy": "promote"})
    deployed.turn(times=2)
    assert seen[-1][2]


# -- the process ----------------------------------------------------------------------------------


def test_the_loop_beats_while_jobs_hang(linked: Box) -> None:
    asked = linked.asked()
    linked.emulator.faults.add(Fault("*", Hang(), count=None))
    linked.started(c.PullModel())
    linked.until(lambda: linked.asked() > asked, step_s=0)
    before = linked.beats
    began = time.monotonic()
    assert linked.json(c.ListModels())["versions"] == []
    publish(linked, message(1))
    collected(linked, 1)
    assert linked.beats > before
    assert time.monotonic() - began < 3
    linked.emulator.faults.clear()
    linked.until(lambda: linked.idle, step_s=0)


def test_it_stops_in_the_time_of_one_job_that_does_not(
    linked: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "GOODBYE_S", 1.0)
    publish(linked, message(1))
    (one,) = collected(linked, 1)
    linked.yes(c.ReviewSamples(samples=(one["id"],), decision="approved"))
    linked.stop()
    linked.emulator.faults.add(Fault("*", Hang(), count=None))
    asked = linked.asked()
    with linked.running() as (stop, end):
        for command in (c.PullModel(), c.UploadSamples()):
            reply = wait_for(partial(linked.outside.request, command, 10))
            assert reply.ok, reply.reason
        wait_for(lambda: linked.asked() >= asked + 2, what="both jobs wait for an answer")
        began = time.monotonic()
        stop.set()
        end.result(10)
        assert time.monotonic() - began < 1.9, "two goodbyes were said one after the other"
        linked.emulator.faults.clear()


def test_statuses_of_others_are_none_of_its_business(here: Box) -> None:
    here.outside.publish(status("publisher", ServiceState.RUNNING))
    here.turn()
    assert not here.parts.inference.any()
    here.inference.runs()
    here.turn()
    assert here.parts.inference.any()
    here.inference.goes()
    here.turn()
    assert not here.parts.inference.any()


def test_no_secret_is_in_a_log(linked: Box, caplog: pytest.LogCaptureFixture) -> None:
    """The bus is looked through at the end of every test of this file."""
    caplog.set_level("DEBUG")
    linked.project.revoke(KEY)
    linked.fails(c.PullModel())
    linked.yes(c.ShowLink())
    assert KEY not in caplog.text
    assert KEY not in json.dumps(linked.told())
    assert linked.settings.key_path.stat().st_mode & 0o777 == 0o600
