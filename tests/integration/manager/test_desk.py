"""Settings are read, changed and brought back with real files, while the loop takes them up."""

import json
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from nxai_common.bus.ports import Subscription
from nxai_common.contracts.commands import AdjustCamera, Reply, RunCameras
from nxai_common.contracts.configuration import CaptureConfiguration, FileSource, RtspSource
from nxai_common.errors import RejectedError, TransientError
from nxai_manager import desk as desk_module
from nxai_manager.core.consistency import PLACEHOLDER
from nxai_manager.core.document import DEFAULT_TEXT
from nxai_manager.core.editing import CameraExists, NoSuchCamera
from nxai_manager.core.hidden import NONE_KEPT, TYPE_AGAIN
from nxai_manager.core.history import Author, Entry, How, NoSuchEntry
from nxai_manager.core.nx_settings import Outcome
from nxai_manager.core.problems import RefusedSettings
from nxai_manager.desk import GOOD as WHAT_IS_GOOD
from nxai_manager.desk import SettingsBroken, SettingsChanged, View
from support.samples import small_disk
from support.settings_desk import FRONT, GOOD, PASSWORD, DeskBox, running_desk
from support.waiting import wait_for

ELSEWHERE = {"type": "rtsp", "url": "rtsp://192.0.2.66/1"}


def reasons(error: RefusedSettings) -> list[tuple[str, str]]:
    return [(problem.where, problem.reason) for problem in error.problems]


def story(box: DeskBox) -> list[str]:
    """Return who made what of the history, newest first."""
    return [f"{entry.author}{'' if entry.used else ' (unused)'}" for entry in box.desk.history()]


# -- reading --------------------------------------------------------------------------------------


def test_what_is_shown_has_no_password_and_says_what_is_in_force(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        view = box.settle()
        assert view == box.desk.current()
        assert json.loads(view.text) == {**GOOD, "cameras": [FRONT | {"password": PLACEHOLDER}]}
        assert view.cameras == {"front": FRONT | {"password": PLACEHOLDER}}
        assert (view.problems, view.held_up) == ((), "")
        assert view.good is not None
        assert (view.good.revision, view.good.author) == (view.revision, Author(how=How.FILE))
        settings = box.desk.settings
        assert settings is not None
        assert settings.cameras[0].password.get_secret_value() == PASSWORD
        assert PASSWORD not in repr(view)


def test_what_is_in_force_is_told_while_the_disk_is_waited_for(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        begun, go_on = threading.Event(), threading.Event()

        class Slow:
            name = "slow"

            def glance(self) -> None:
                begun.set()
                go_on.wait(30)

        quick, box.desk.store = box.desk.store, cast("Any", Slow())
        waits = threading.Thread(target=box.desk.look)
        waits.start()
        try:
            assert begun.wait(30)
            told: list[Any] = []
            asks = threading.Thread(
                target=lambda: told.extend((box.desk.settings, box.desk.current()))
            )
            asks.start()
            asks.join(10)
            assert len(told) == 2
        finally:
            box.desk.store = quick
            go_on.set()
            waits.join()
            asks.join()


def test_first_start_is_told_as_one(tmp_path: Path) -> None:
    with running_desk(tmp_path) as box:
        box.settle()
        assert box.file.read_text() == DEFAULT_TEXT
        assert story(box) == ["first start"]


def test_box_without_good_settings_has_none(tmp_path: Path) -> None:
    with running_desk(tmp_path, '{"cameras": [') as box:
        view = box.desk.look()
        assert (view.in_force, view.good, view.cameras, box.desk.settings) == (
            False,
            None,
            {},
            None,
        )
        assert [problem.line for problem in view.problems] == [1]
        assert box.desk.export() == view.text
        with pytest.raises(NoSuchEntry):
            box.desk.restore(WHAT_IS_GOOD, "anna")
    with running_desk(tmp_path / "other", b"\xff".decode("latin-1")) as box:
        box.file.write_bytes(b"\xff")
        [problem] = box.desk.look().problems
        assert "not UTF-8 text" in problem.reason
        box.file.unlink()
        view = box.desk.look()
        assert view.revision == ""
        assert [str(problem) for problem in view.problems] == [f"{box.file} is gone"]


def test_listeners_are_told_of_every_change(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        told: list[View] = []
        box.desk.listen(told.append)
        assert len(told) == 1
        box.take_up("{")
        wait_for(lambda: told[-1].problems)
        assert not told[-1].in_force
        assert told[-1].good is not None
        box.take_up(GOOD | {"run": False})
        wait_for(lambda: told[-1].in_force)


# -- a whole text ---------------------------------------------------------------------------------


def test_text_is_written_as_it_was_typed_and_put_in_force(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        before = box.settle()
        typed = before.text.replace('"cameras"', '"run":false ,\n "cameras"')
        view = box.desk.write(typed, before.revision, "anna")
        assert (view.in_force, view.text, view.problems) == (True, typed, ())
        assert view.revision != before.revision
        assert view.good is not None
        assert str(view.good.author) == "anna"
        settings = box.desk.settings
        assert settings is not None
        assert not settings.run
        assert box.file.read_text("utf-8") == typed.replace(
            json.dumps(PLACEHOLDER, ensure_ascii=False), json.dumps(PASSWORD, ensure_ascii=False)
        )
        assert stat.S_IMODE(box.file.stat().st_mode) == 0o600
        assert box.secret() == PASSWORD
        assert story(box) == ["anna", "the file, by hand"]


def test_text_with_mistakes_is_refused_with_all_of_them_and_nothing_changes(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        before = box.settle()
        document = json.loads(before.text)
        document["cameras"][0]["source"] = ELSEWHERE
        document["cameras"].append(FRONT | {"id": "back", "password": PLACEHOLDER})
        document["modls"] = []
        text = json.dumps(document, indent=1)
        with pytest.raises(RefusedSettings) as caught:
            box.desk.write(text, before.revision, "anna")
        assert reasons(caught.value) == [
            ("cameras.front.password", TYPE_AGAIN),
            ("cameras.back.password", NONE_KEPT),
            ("modls", "unknown key; did you mean 'models'?"),
        ]
        assert box.desk.check(text) == caught.value.problems
        assert box.desk.check(before.text) == ()
        assert box.desk.look() == before
        assert box.document() == GOOD
        assert story(box) == ["the file, by hand"]


def test_change_to_an_old_text_is_refused_and_says_who_was_faster(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        first = box.settle()
        box.desk.change({"run": False}, "anna")
        written = box.file.read_text()
        with pytest.raises(SettingsChanged, match=r"changed meanwhile \(anna, 20.* UTC\)"):
            box.desk.change({"run": True}, "ben", expected=first.revision)
        with pytest.raises(SettingsChanged, match=r"changed meanwhile \(anna, 20.* UTC\)"):
            box.desk.write(first.text, first.revision, "ben")
        assert box.file.read_text() == written
        by_hand = GOOD | {"logger": {"keep_days": 3}}
        box.edit_by_hand(by_hand)
        with pytest.raises(SettingsChanged, match=r"meanwhile \(the file, by hand, 20.* UTC\)"):
            box.desk.write(first.text, first.revision, "ben")
        assert box.document() == by_hand
        second = box.desk.look()
        view = box.desk.write(second.text, second.revision, "ben")  # the same: nothing to write
        assert view.text == second.text


def test_hand_edit_in_the_last_moment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the file and the renaming, an editor saves."""
    with running_desk(tmp_path, GOOD) as box:
        before = box.settle()
        replace = box.desk.store.replace

        def with_an_editor(old: str | None, text: str) -> bool:
            box.edit_by_hand(GOOD | {"logger": {"keep_days": 3}})
            return replace(old, text)

        monkeypatch.setattr(box.desk.store, "replace", with_an_editor)
        with pytest.raises(SettingsChanged, match="by hand"):
            box.desk.write(before.text + " ", before.revision, "anna")
        assert box.document() == GOOD | {"logger": {"keep_days": 3}}
        assert [path.name for path in tmp_path.glob(".*.new")] == []


def test_nothing_waits_for_a_loop_that_does_not_answer(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
    before = box.desk.look()  # the loop has ended
    view = box.desk.write(before.text + "\n", before.revision, "anna", wait_s=0.05)
    assert not view.in_force
    assert view.text == before.text + "\n"


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:

        def add(number: int) -> None:
            box.desk.add_camera({"id": f"c{number}", "source": {"type": "demo"}}, f"u{number}")

        threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert {c["id"] for c in box.document()["cameras"]} == {
            "front",
            *(f"c{n}" for n in range(8)),
        }
        wait_for(lambda: box.desk.look().in_force)
        assert len(box.desk.current().cameras) == 9


# -- parts ----------------------------------------------------------------------------------------


def test_parts_are_changed_and_the_rest_stays_as_it_was_written(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        view = box.desk.change({"device": {"name": "Line 3"}, "logger": {"keep_days": 3}}, "anna")
        assert view.in_force
        assert box.document() == {"device": {"name": "Line 3"}, **GOOD, "logger": {"keep_days": 3}}
        assert list(box.document()) == ["device", "cameras", "models", "logger"]
        view = box.desk.change({"logger": None}, "anna")
        assert box.document() == {"device": {"name": "Line 3"}, **GOOD}
        assert box.desk.change({"logger": None}, "anna").revision == view.revision
        assert len(story(box)) == 3


def test_camera_is_added_changed_renamed_replaced_and_removed(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        desk = box.desk
        back = {"id": "back", "source": ELSEWHERE, "username": "jim", "password": "x"}
        assert desk.add_camera(back, "anna").cameras["back"]["password"] == PLACEHOLDER
        assert (box.secret(), box.secret("back")) == (PASSWORD, "x")
        desk.change_camera("front", {"name": "Door", "inference_limit_ms": 100}, "anna")
        assert box.document()["cameras"][0] == FRONT | {"name": "Door", "inference_limit_ms": 100}
        desk.change_camera("front", {"id": "door"}, "anna")
        assert box.secret("door") == PASSWORD
        desk.change_camera("door", {"password": "new"}, "anna")
        assert box.secret("door") == "new"
        view = desk.look()
        desk.replace_camera("back", view.cameras["back"] | {"name": "Yard"}, "anna")
        assert box.secret("back") == "x"
        desk.remove_camera("back", "anna")
        assert [camera["id"] for camera in box.document()["cameras"]] == ["door"]
        assert not (tmp_path / "secrets" / "camera-back.json").exists()


def test_password_goes_to_no_other_address_by_a_form(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        changes: list[Callable[[], object]] = [
            lambda: box.desk.change_camera("front", {"source": ELSEWHERE}, "anna"),
            lambda: box.desk.change_camera("front", {"source": {"url": "rtsp://x/"}}, "anna"),
            lambda: box.desk.replace_camera(
                "front", FRONT | {"source": ELSEWHERE, "password": PLACEHOLDER}, "anna"
            ),
        ]
        for change in changes:
            with pytest.raises(RefusedSettings) as caught:
                change()
            assert reasons(caught.value) == [("cameras.front.password", TYPE_AGAIN)]
            assert [problem.line for problem in caught.value.problems] == [0]
        patch = {"source": ELSEWHERE, "password": "new"}
        assert box.desk.change_camera("front", patch, "anna").in_force
        assert box.secret() == "new"


def test_form_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):  # deeper than Python goes
        deep = {"a": deep}
    with running_desk(tmp_path, GOOD) as box:
        patches: list[tuple[dict[str, Any], str]] = [
            ({"name": 7}, "cameras.front.name"),
            ({"inference_limit_ms": float("nan")}, ""),
            ({"name": "\ud800"}, ""),
            ({"run": 1}, "cameras.front.run"),
            (deep, ""),
        ]
        for patch, where in patches:
            with pytest.raises(RefusedSettings) as caught:
                box.desk.change_camera("front", patch, "anna")
            assert [where for where, _ in reasons(caught.value)] == [where]
        with pytest.raises(NoSuchCamera, match="did you mean 'front'"):
            box.desk.change_camera("fron", {}, "anna")
        with pytest.raises(CameraExists):
            box.desk.add_camera(FRONT, "anna")
        assert box.document() == GOOD


def test_part_of_a_broken_file_cannot_be_changed_by_itself(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        box.take_up('{"cameras": []\n"models": []}')
        with pytest.raises(SettingsBroken, match=r"has a mistake.*: line 2: a comma") as caught:
            box.desk.change({"run": False}, "anna")
        assert caught.value.problems == box.desk.current().problems
        box.file.unlink()
        with pytest.raises(SettingsBroken, match=r"is gone\. Put it right, or restore"):
            box.desk.remove_camera("front", "anna")


def test_password_for_a_test_is_that_of_the_camera_at_the_same_address(tmp_path: Path) -> None:
    same, other = RtspSource(url="rtsp://192.0.2.17/2"), RtspSource(url="rtsp://192.0.2.66/1")
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        assert box.desk.password_meant("front", same, PLACEHOLDER) == PASSWORD
        assert box.desk.password_meant("front", other, "typed") == "typed"
        with pytest.raises(RejectedError, match="address changed"):
            box.desk.password_meant("front", other, PLACEHOLDER)
        with pytest.raises(RejectedError, match="address changed"):
            box.desk.password_meant("front", FileSource(path="/a"), PLACEHOLDER)
        with pytest.raises(RejectedError, match="none is kept"):
            box.desk.password_meant("back", other, PLACEHOLDER)


def test_file_that_is_gone_is_written_again_by_who_knows_that_it_is(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        text = box.settle().text
        box.file.unlink()
        assert box.desk.look().revision == ""
        assert box.desk.write(text, "", "anna").in_force
        assert box.document() == GOOD


def test_nothing_is_shown_of_a_broken_file_in_which_a_password_stands_elsewhere(
    tmp_path: Path,
) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        box.take_up(json.dumps(GOOD | {"device": {"name": PASSWORD}})[:-1])
        view = box.desk.current()
        assert view.text == PLACEHOLDER
        assert [problem.line for problem in view.problems] == [1]
        assert box.desk.restore(WHAT_IS_GOOD, "anna").in_force
        bad = box.desk.history()[0]
        kept = box.desk.entry(bad.id, against_now=True)
        assert (kept.text, kept.differences, kept.lines) == (PLACEHOLDER, (), "")


# -- run and stop ---------------------------------------------------------------------------------


def test_command_runs_and_stops_and_answers_when_it_is_so(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        inbox = box.bus.subscribe(Subscription(CaptureConfiguration, {"service": "capture"}))

        def ask(*, running: bool, cameras: tuple[str, ...] | None = None) -> Reply:
            return box.bus.request(RunCameras(running=running, cameras=cameras), 10)

        def paused() -> bool:
            found = []
            while (delivery := inbox.receive(0.2)) is not None:
                found.append(delivery.message)
            configuration = found[-1]
            assert isinstance(configuration, CaptureConfiguration)
            return configuration.cameras[0].paused

        reply = ask(running=False)
        assert reply.ok
        assert reply.details == {"revision": box.desk.current().revision, "box_runs": False}
        assert box.document()["run"] is False
        assert paused()
        reply = ask(running=True, cameras=("front",))  # it does
        assert (reply.ok, reply.details["box_runs"]) == (True, False)
        assert ask(running=True).ok
        assert not paused()
        assert ask(running=False, cameras=("front",)).ok
        assert box.document()["cameras"][0]["run"] is False
        assert paused()
        reply = ask(running=True, cameras=("fron",))
        assert (reply.ok, reply.reason) == (
            False,
            "there is no camera 'fron'; did you mean 'front'?",
        )
        assert story(box)[0] == "a command over MQTT"
        box.take_up("{")
        assert "has a mistake" in ask(running=True).reason


def test_command_adjusts_a_camera(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        reply = box.bus.request(AdjustCamera(camera="front", threshold=0.6, collect=True), 10)
        assert reply.ok
        camera = box.document()["cameras"][0]
        assert (camera["threshold"], camera["collect"]) == (0.6, {"enabled": True})
        assert story(box)[0] == "a command over MQTT"
        refused = box.bus.request(AdjustCamera(camera="frnt", run=False), 10)
        assert (refused.ok, refused.reason) == (
            False,
            "there is no camera 'frnt'; did you mean 'front'?",
        )


def test_command_that_cannot_be_followed_yet_says_so(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        for path in (tmp_path / "secrets").iterdir():
            path.unlink()
        (tmp_path / "secrets").rmdir()
        (tmp_path / "secrets").write_text("a file where the folder should be")
        reply = box.bus.request(RunCameras(running=False), 10)
        assert not reply.ok
        assert "passwords cannot be written" in reply.reason
        assert box.desk.current().held_up == reply.reason
        (tmp_path / "secrets").unlink()
        box.settle()
        assert box.desk.current().held_up == ""


# -- history --------------------------------------------------------------------------------------


def test_every_text_that_came_into_force_is_kept_with_who_and_what(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        box.take_up(GOOD | {"logger": {"keep_days": 3}})
        box.desk.change_camera(
            "front", {"password": "new", "name": "Door", "enabled": False}, "anna"
        )
        box.desk.change({"run": False}, "ben")
        newest, anna, by_hand, first = box.desk.history()
        assert [str(e.author) for e in (newest, anna, by_hand)] == [
            "ben",
            "anna",
            "the file, by hand",
        ]
        assert newest.changes == ("run",)
        assert sorted(anna.changes) == [
            "cameras.front.enabled",
            "cameras.front.name",
            "cameras.front.password",
        ]
        assert by_hand.changes == ("logger",)
        assert (first.changes, first.more_changes) == ((), 0)
        assert all(entry.used for entry in box.desk.history())
        for path in box.history.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        kept = box.desk.entry(anna.id, against_now=False)
        assert [
            str(difference) for difference in kept.differences if "pass" in difference.where
        ] == ["cameras.front.password: changed"]
        assert kept.entry == anna
        assert "new" not in kept.text
        assert '+      "enabled": false' in kept.lines
        now = box.desk.entry(anna.id, against_now=True)
        assert [str(difference) for difference in now.differences] == ["run: removed"]
        assert len(box.desk.entry(first.id, against_now=False).differences) == 2  # all is new
        shown = box.desk.entry(first.id, against_now=True, usernames=True)
        assert "joe" not in repr(shown)
        with pytest.raises(NoSuchEntry):
            box.desk.entry("000000099-000000000000", against_now=True)


def test_restart_keeps_nothing_twice_and_knows_who_it_was(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        view = box.desk.change({"run": False}, "anna")
        before = box.desk.history()
    with running_desk(tmp_path) as box:
        box.settle()
        wait_for(lambda: str(getattr(box.desk.current().good, "author", "")) == "anna")
        assert box.desk.current() == view
        assert box.desk.history() == before
    box.edit_by_hand(GOOD | {"run": False, "logger": {"keep_days": 3}})
    with running_desk(tmp_path) as box:
        wait_for(lambda: len(box.desk.history()) == 3)
        assert box.desk.history()[0].changes == ("logger",)  # nothing else differs from before


def test_restore_brings_a_text_back_with_the_passwords_it_had(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        [first] = box.desk.history()
        box.desk.change_camera("front", {"source": ELSEWHERE, "password": "new"}, "anna")
        assert box.secret() == "new"
        stale = box.desk.current().revision
        box.desk.change({"run": False}, "anna")
        with pytest.raises(SettingsChanged):
            box.desk.restore(first.id, "ben", expected=stale)
        view = box.desk.restore(first.id, "ben", expected=box.desk.current().revision)
        assert view.in_force
        assert box.document() == GOOD
        assert box.secret() == PASSWORD
        assert story(box)[0] == f"restore of {first.id} by ben"
        for name in ("000000099-000000000000", "../settings", "nonsense"):
            with pytest.raises(NoSuchEntry):
                box.desk.restore(name, "ben")


def test_last_good_is_restored_after_a_bad_edit_and_the_bad_one_is_kept(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        broken = json.dumps(GOOD, indent=2).replace('"rtsp",', '"rtsp"').replace(PASSWORD[:1], "q")
        box.take_up(broken)
        view = box.desk.current()
        assert not view.in_force
        assert view.problems
        assert PLACEHOLDER in view.text
        assert json.loads(box.desk.export())["models"] == GOOD["models"]
        view = box.desk.restore(WHAT_IS_GOOD, "anna")
        assert view.in_force
        assert box.document() == GOOD
        bad, good = box.desk.history()  # the good one was in force all the time
        assert (bad.author, bad.used, good.used) == (Author(how=How.FILE), False, True)
        assert box.desk.entry(bad.id, against_now=False).text.count("\n") == broken.count("\n")
        assert box.desk.entry(WHAT_IS_GOOD, against_now=True).differences == ()
        with pytest.raises(RefusedSettings):
            box.desk.restore(bad.id, "anna")


def test_broken_file_is_mended_in_the_page_without_typing_its_passwords(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        back = {"id": "back", "source": ELSEWHERE, "username": "jim", "password": "new one"}
        text = json.dumps(GOOD | {"cameras": [FRONT | {"password": "changed"}, back]}, indent=2)
        box.take_up(text.replace('"joe",', '"joe"'))
        view = box.desk.current()
        assert "changed" not in view.text
        assert "new one" not in view.text
        mended = view.text.replace('"joe"', '"joe",')
        assert box.desk.write(mended, view.revision, "anna").in_force
        assert (box.secret(), box.secret("back")) == ("changed", "new one")


def test_history_that_cannot_be_written_is_a_problem_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "settings.json.history").write_text("a file where the folder should be")
    with running_desk(tmp_path, GOOD) as box:
        wait_for(lambda: box.desk.current().in_force)
        problems = wait_for(lambda: {p.about: p.reason for p in box.configurator.report().problems})
        assert "history of the settings" in problems["disk"]
        with pytest.raises(TransientError, match="cannot be read"):
            box.desk.history()
        view = box.desk.current()
        box.history.unlink()
        wait_for(lambda: box.history.is_dir() and story(box) == ["the file, by hand"])
        wait_for(lambda: not box.configurator.report().problems)
        assert box.desk.look().revision == view.revision  # pages that are open stay good


def test_last_good_is_restored_though_the_history_lost_it(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        box.take_up('{"run": false}')
        for path in box.history.glob("*.entry"):
            path.unlink()
        box.take_up("{")
        assert box.desk.restore(WHAT_IS_GOOD, "anna").in_force
        assert box.document() == {"run": False}


def fill(box: DeskBox) -> None:
    """Add cameras with long names until the disk is full."""
    for number in range(20):
        camera = {"id": f"c{number}", "source": {"type": "demo"}, "name": "x" * 4000}
        box.desk.add_camera(camera, "anna")


def test_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "2m") as disk, running_desk(disk.path, GOOD) as box:
        box.settle()
        filler = disk.path / "filler"
        filler.write_bytes(b"x" * (disk.free - 8192))
        with pytest.raises(TransientError, match=r"cannot be written.*: No space left on device"):
            fill(box)
        document = box.document()  # whole, the last one that was written
        assert document["cameras"][0] == FRONT
        assert not list(disk.path.glob(".*.new"))
        filler.unlink()
        assert box.desk.change({"run": False}, "anna").in_force
        wait_for(lambda: not box.configurator.report().problems)


# -- files that are brought along -----------------------------------------------------------------


def test_export_goes_to_another_box_and_asks_for_its_passwords(tmp_path: Path) -> None:
    with running_desk(tmp_path / "a", GOOD) as box:
        box.settle()
        exported = box.desk.export()
        assert PASSWORD not in exported
        same = box.desk.take_in(exported)
        assert (same.kind, same.problems, same.rows) == ("nxai-edge", (), ())
        assert box.desk.write(same.text, None, "anna", imported=same.token).in_force
        assert box.secret() == PASSWORD
    with running_desk(tmp_path / "b") as box:
        box.settle()
        found = box.desk.take_in(exported)
        assert [(p.where, p.reason) for p in found.problems] == [
            ("cameras.front.password", NONE_KEPT)
        ]
        with pytest.raises(RefusedSettings):
            box.desk.write(found.text, None, "anna", imported=found.token)
        typed = found.text.replace(PLACEHOLDER, "typed")
        assert box.desk.write(typed, None, "anna", imported=found.token).in_force
        assert box.secret() == "typed"
        assert story(box)[0] == "import by anna"


def test_passwords_of_an_imported_file_are_remembered_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_desk(tmp_path) as box:
        box.settle()
        found = box.desk.take_in(json.dumps(GOOD))
        assert PASSWORD not in repr(found)
        assert found.problems == ()
        assert box.desk.check(found.text, found.token) == ()
        assert [p.reason for p in box.desk.check(found.text)] == [NONE_KEPT]
        assert box.desk.write(found.text, None, "anna", imported=found.token).in_force
        assert box.secret() == PASSWORD
        monkeypatch.setattr(desk_module, "IMPORT_S", -1.0)
        other = GOOD | {"cameras": [FRONT | {"id": "back", "source": ELSEWHERE}]}
        late = box.desk.take_in(json.dumps(other))
        assert [p.reason for p in late.problems] == [NONE_KEPT]  # it is forgotten at once
        monkeypatch.undo()
        tokens = [box.desk.take_in(json.dumps(other)).token for _ in range(9)]
        text = box.desk.take_in(json.dumps(other)).text
        assert [p.reason for p in box.desk.check(text, tokens[0])] == [NONE_KEPT]
        assert box.desk.check(text, tokens[-1]) == ()


def test_file_of_the_closed_manager_is_translated_and_its_passwords_stay_here(
    tmp_path: Path,
) -> None:
    file = {
        "settings": {"DeviceName": "Line 3"},
        "module": {
            "InputCamera1Location": "rtsp://192.0.2.5/1",
            "InputCamera1Username": "joe",
            "InputCamera1Pass": PASSWORD,
            "InputCamera1AspectRatio": 2,
        },
    }
    with running_desk(tmp_path) as box:
        box.settle()
        found = box.desk.take_in("\ufeff" + json.dumps(file))
        assert (found.kind, found.problems) == ("nx-ai-manager", ())
        assert PASSWORD not in repr(found)
        assert {row.key: row.outcome for row in found.rows}["module.InputCamera1AspectRatio"] == (
            Outcome.NEEDS_YOU
        )
        assert box.file.read_text() == DEFAULT_TEXT  # nothing has changed
        view = box.desk.write(found.text, box.desk.look().revision, "anna", imported=found.token)
        assert view.in_force
        assert box.secret("camera-1") == PASSWORD
        assert box.document()["models"] == json.loads(DEFAULT_TEXT)["models"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "line 1: the text ends where a key in double quotes should be"),
        ("[]", "line 1: these are neither settings of nxai-edge"),
        ('{"a": 1}', "line 1: these are neither settings of nxai-edge"),
        ("", "line 1: the file is empty"),
    ],
)
def test_other_files_are_not_taken_for_settings(tmp_path: Path, text: str, reason: str) -> None:
    with running_desk(tmp_path, GOOD) as box, pytest.raises(RefusedSettings) as caught:
        box.desk.take_in(text)
    assert str(caught.value).startswith(reason)


def test_entry_says_nothing_of_the_text(tmp_path: Path) -> None:
    with running_desk(tmp_path, GOOD) as box:
        box.settle()
        [entry] = box.desk.history()
        assert isinstance(entry, Entry)
        assert PASSWORD not in entry.model_dump_json()
