"""What is linked, by whose key, and what becomes of that when something fails."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from nxai_cloud_sync.core.job_record import Details
from nxai_cloud_sync.core.keys import key_revision
from nxai_cloud_sync.core.project import Impulse, KeyInfo, ProjectInfo, Role
from nxai_cloud_sync.jobs import Cancelled
from nxai_cloud_sync.linked_project import LINK, NOT_LINKED, LinkedProject, Purpose
from nxai_cloud_sync.ports import Ingestion, Link, Studio
from nxai_common.contracts.commands import LinkProject
from nxai_common.errors import (
    CloudRejected,
    CloudUnavailable,
    ConfigurationError,
    KeyRefused,
    NxaiError,
    RejectedError,
)
from support.cloud_sync import FULL, IMPULSE, Heard, Kept, Keys, ScriptedStudio
from support.waiting import wait_for

pytestmark = pytest.mark.unit

SECOND = replace(
    IMPULSE,
    id=2,
    name="Impulse #2",
    default=False,
    learn_blocks=(replace(IMPULSE.learn_blocks[0], id=6, title="Second"),),
)
REFUSED = KeyRefused("the key was refused")


class Room:
    """A project on the other side, and what is remembered of it here."""

    def __init__(self) -> None:
        self.kept = Kept(LINK)
        self.keys = Keys()
        self.studio_side = ScriptedStudio()
        self.opened: list[tuple[str, str, str]] = []
        self.project = self.restarted()

    def restarted(self) -> LinkedProject:
        project = LinkedProject(
            self.kept,
            self.keys,
            self,
            studio="https://studio.example/v1",
            ingestion="https://ingestion.example",
        )
        project.open()
        return project

    def studio(self, base: str, key: str) -> Studio:
        self.opened.append(("studio", base, key))
        self.studio_side.closed = 0
        return self.studio_side

    def ingestion(self, base: str, key: str) -> Ingestion:
        self.opened.append(("ingestion", base, key))
        raise CloudUnavailable("not in this test")

    def link(self, *, handed: str | None = None, **command: Any) -> Details:
        heard = Heard()
        details = self.project.connect(LinkProject(**command), heard.job, handed)
        assert heard.job.about == self.linked.name
        assert self.studio_side.closed == 1
        assert heard.job.text == f"linked project {self.linked.project} ({self.linked.name})"
        return details

    def fails(self, kind: type[NxaiError], *, handed: str | None = None, **command: Any) -> str:
        """Fail to link; what was linked stays, in memory and on the disk, and so does the key."""
        before, impulses, left = self.project.link, self.project.impulses, self.kept.content
        key = self.keys.key
        with pytest.raises(kind) as caught:
            self.project.connect(LinkProject(**command), Heard().job, handed)
        assert (self.keys.key, self.keys.beside) == (key, None)
        assert self.project.link == before
        assert self.project.impulses == impulses
        assert self.kept.content == left
        assert not self.opened or self.studio_side.closed == 1
        return str(caught.value)

    def other(self, number: int = 8, role: Role = Role.ADMIN) -> None:
        """Let the key be that of another project."""
        self.studio_side = ScriptedStudio(number, role)
        self.keys.key = f"ei_of_{number}"

    @property
    def linked(self) -> Link:
        return self.project.require()


@pytest.fixture
def room() -> Room:
    return Room()


# -- linking --------------------------------------------------------------------------------------


def test_a_project_is_linked_and_stays_so(room: Room) -> None:
    assert room.link() == {
        "project": 7,
        "name": "Parcels",
        "role": "admin",
        "impulse": 1,
        "learn_block": 3,
        "note": "",
    }
    expected = Link(
        project=7,
        name="Parcels",
        role="admin",
        impulse=1,
        learn_block=3,
        learn_block_type="keras-object-detection",
        learn_block_title="Object detection",
        impulse_name="Impulse #1",
        studio="https://studio.example/v1",
        ingestion="https://ingestion.example",
        key_revision=key_revision("ei_admin"),
        impulses=(IMPULSE,),
    )
    assert room.linked == room.restarted().link == expected
    assert room.project.impulses == (IMPULSE,)
    assert room.project.compute_ms_left == 600_000
    assert room.opened == [("studio", "https://studio.example/v1", "ei_admin")]
    assert room.kept.content is not None
    assert b"ei_admin" not in room.kept.content


def test_what_happens_is_said(room: Room) -> None:
    heard = Heard()
    room.project.connect(LinkProject(), heard.job)
    assert heard.texts == ["checking the key", "reading the project"]


def test_a_person_chooses_impulse_and_learn_block(room: Room) -> None:
    room.studio_side.offers = (IMPULSE, SECOND)
    room.link(impulse=2)
    assert (room.linked.impulse, room.linked.learn_block) == (2, 6)
    assert room.project.impulses == (IMPULSE, SECOND)
    room.link(learn_block=3)
    assert (room.linked.impulse, room.linked.learn_block) == (1, 3)
    assert "no impulse 9" in room.fails(ConfigurationError, impulse=9)


def test_servers_of_ones_own_are_kept_until_others_are_named(room: Room) -> None:
    room.link(studio="https://own/v1", ingestion="https://own-ingestion")
    room.link()
    assert (room.linked.studio, room.linked.ingestion) == (
        "https://own/v1",
        "https://own-ingestion",
    )
    assert room.opened[-1][1] == "https://own/v1"
    room.link(studio="https://own/v1/")  # the same
    room.keys.key = "ei_other"
    assert room.fails(RejectedError, studio="https://other/v1") == (
        "say where pictures go to, too: a project of https://other/v1 is not served by "
        "https://own-ingestion"
    )
    room.link(studio="https://other/v1", ingestion="https://own-ingestion")
    assert (room.linked.studio, room.linked.ingestion) == (
        "https://other/v1",
        "https://own-ingestion",
    )


@pytest.mark.parametrize(
    "command",
    [
        {"studio": "https://other/v1", "ingestion": "https://own-ingestion"},
        {"ingestion": "https://other"},
    ],
)
def test_a_key_goes_to_the_hosts_alone_for_which_it_was_given(
    room: Room, command: dict[str, str]
) -> None:
    room.link(studio="https://own/v1", ingestion="https://own-ingestion")
    opened = len(room.opened)
    other = next(iter(command.values()))
    assert room.fails(RejectedError, **command) == (
        f"the API key was given for https://own/v1 and goes to no other host such as {other}: give "
        "the key of the project there as well, or unlink first"
    )
    assert len(room.opened) == opened
    room.restarted()
    room.fails(RejectedError, **command)
    room.project.forget()
    room.keys.key = "ei_admin"
    room.link(**command)


def test_the_key_of_another_project_than_the_one_that_is_meant_is_refused(room: Room) -> None:
    room.link()
    room.other(8)
    assert room.fails(KeyRefused, project=7) == (
        "the key belongs to project 8, not to 7; use a key of that project (Dashboard > Keys)"
    )
    room.link(project=8)
    assert room.linked.project == 8


def test_the_models_of_another_project_have_a_name_of_their_own(room: Room) -> None:
    room.link()
    room.project.name_models("parcels")
    room.link()  # the same again, perhaps with another key
    assert room.linked.model == room.restarted().require().model == "parcels"
    room.other(8)
    room.link()
    assert room.linked.model == ""


def test_a_name_that_is_known_is_not_written_again(room: Room) -> None:
    room.link()
    room.project.name_models("parcels")
    writes = room.kept.writes
    room.project.name_models("parcels")
    assert room.kept.writes == writes


@pytest.mark.parametrize(
    ("question", "error"),
    [
        ("key_info", REFUSED),
        ("key_info", CloudUnavailable("no network")),
        ("project", CloudRejected("no such project")),
        ("impulses", CloudRejected("not as Edge Impulse describes it")),
        ("impulses", REFUSED),
    ],
)
@pytest.mark.parametrize("before", [False, True])
def test_a_link_that_fails_leaves_what_was_linked(
    room: Room, question: str, error: NxaiError, before: bool
) -> None:
    if before:
        room.link()
    room.other(8)
    room.studio_side.refused[question] = error
    assert room.fails(type(error)) == str(error)
    assert room.project.compute_ms_left == (600_000 if before else None)


def test_a_disk_that_is_full_leaves_what_was_linked(room: Room) -> None:
    room.link()
    room.other(8)
    room.kept.trouble = FULL
    assert "the disk is full" in room.fails(type(FULL))


def test_a_project_without_an_impulse_that_reads_images_says_what_to_do(room: Room) -> None:
    room.link()
    room.other(8)
    room.studio_side.offers = ()
    assert "create one in Edge Impulse Studio" in room.fails(ConfigurationError)


def test_without_a_key_nobody_is_asked(room: Room) -> None:
    room.keys.key = None
    assert "there is no API key; link with one, or give the service one" in room.fails(KeyRefused)
    assert room.opened == []


def test_a_link_is_cancelled(room: Room) -> None:
    heard = Heard()
    room.studio_side.before["key_info"] = heard.job.cancel
    with pytest.raises(Cancelled):
        room.project.connect(LinkProject(), heard.job)
    assert (room.project.link, room.studio_side.closed) == (None, 1)


# -- a key that is handed over --------------------------------------------------------------------


def test_a_key_that_is_handed_over_is_kept_once_it_is_linked(room: Room) -> None:
    room.keys.key = None
    keys_at_write: list[str | None] = []
    room.kept.at_write = lambda: keys_at_write.append(room.keys.key)
    room.link(handed="ei_new")
    assert room.opened == [("studio", "https://studio.example/v1", "ei_new")]
    assert keys_at_write == [None], "the key comes after the link, or it goes to other hosts"
    assert room.keys.held == ("ei_new", None)
    assert room.linked.key_revision == key_revision("ei_new")
    room.project.studio()
    assert room.opened[-1] == ("studio", "https://studio.example/v1", "ei_new")


def test_a_new_key_is_for_the_host_that_is_named_with_it(room: Room) -> None:
    room.link(studio="https://own/v1", ingestion="https://own-ingestion")
    room.studio_side = ScriptedStudio(8)
    room.link(handed="ei_new", studio="https://other/v1", ingestion="https://other-ingestion")
    assert room.opened[-1] == ("studio", "https://other/v1", "ei_new")
    assert all(host.startswith("https://own") for _, host, key in room.opened if key == "ei_admin")
    assert room.keys.key == "ei_new"


def test_the_key_from_before_goes_to_no_other_host_though_it_is_handed_over(room: Room) -> None:
    room.link(studio="https://own/v1", ingestion="https://own-ingestion")
    opened = len(room.opened)
    elsewhere = {"studio": "https://other/v1", "ingestion": "https://other"}
    said = room.fails(RejectedError, handed="ei_admin", **elsewhere)
    assert said.startswith("the API key was given for https://own/v1 and goes to no other host")
    assert len(room.opened) == opened


@pytest.mark.parametrize("before", [False, True])
def test_a_key_that_cannot_be_linked_is_not_kept(room: Room, before: bool) -> None:
    if before:
        room.link()
    else:
        room.keys.key = None
    room.studio_side = ScriptedStudio(8)
    room.studio_side.refused["key_info"] = REFUSED
    assert room.fails(KeyRefused, handed="ei_new") == str(REFUSED)
    room.studio_side = ScriptedStudio(8)
    assert "belongs to project 8, not to 7" in room.fails(KeyRefused, handed="ei_new", project=7)


def test_a_key_that_cannot_be_put_anywhere_is_sent_nowhere(room: Room) -> None:
    room.keys.trouble = ConfigurationError("the API key is read from /run/secrets/key")
    assert room.fails(ConfigurationError, handed="ei_new") == str(room.keys.trouble)
    assert room.opened == []


def test_a_key_for_which_the_link_cannot_be_written_is_not_kept(room: Room) -> None:
    room.link()
    room.studio_side = ScriptedStudio(8)
    room.kept.trouble = FULL
    room.fails(type(FULL), handed="ei_new")


@pytest.mark.parametrize("before", [False, True])
def test_a_key_that_cannot_be_put_in_force_takes_the_link_back(room: Room, before: bool) -> None:
    """In memory, on the disk, and after a restart: the old key would go to the new hosts."""
    if before:
        room.link()
    link, key = room.project.link, room.keys.key
    room.studio_side = ScriptedStudio(8)
    room.keys.full = FULL
    with pytest.raises(type(FULL)):
        room.link(handed="ei_new")
    assert (room.project.link, room.keys.key) == (link, key)
    room.keys.full = None
    assert room.restarted().link == link
    assert room.keys.held == (key, None)


def test_what_a_crash_broke_off_is_finished_or_undone(room: Room) -> None:
    room.link()
    room.keys.beside = "ei_new"  # it was not linked yet
    assert room.restarted().require().key_revision == key_revision("ei_admin")
    assert room.keys.held == ("ei_admin", None)
    room.studio_side = ScriptedStudio(8)
    room.link(handed="ei_new")
    room.keys.key, room.keys.beside = "ei_admin", "ei_new"  # it was, and not put in force
    again = room.restarted()
    assert again.require().project == 8
    assert room.keys.held == ("ei_new", None)
    again.studio()
    assert room.opened[-1][2] == "ei_new"
    again.forget()


def test_a_key_that_was_not_linked_before_a_crash_goes(room: Room) -> None:
    room.keys.key, room.keys.beside = None, "ei_new"
    assert room.restarted().link is None
    assert room.keys.held == (None, None)


def test_a_link_whose_key_cannot_be_put_in_force_is_not_taken_up(room: Room) -> None:
    """Its hosts would get the key from before."""
    room.link(handed="ei_new")
    room.keys.key, room.keys.beside, room.keys.full = "ei_admin", "ei_new", FULL
    with pytest.raises(type(FULL)):
        room.restarted()


def test_a_project_that_is_unlinked_meanwhile_keeps_no_key(room: Room) -> None:
    unlinking = unlinked_while_it_is_written(room)
    with pytest.raises(RejectedError, match="the project was unlinked meanwhile"):
        room.project.connect(LinkProject(), Heard().job, "ei_new")
    unlinking.join()
    assert (room.project.link, room.keys.key, room.keys.beside) == (None, None, None)
    assert room.kept.content is None


# -- what a key lets do ---------------------------------------------------------------------------

EVERYTHING: tuple[Purpose, ...] = ("import", "upload", "train")


def allowed(room: Room) -> set[str]:
    found = {purpose for purpose in EVERYTHING if room.project.may(purpose)}
    for purpose in EVERYTHING:
        if purpose in found:
            assert room.project.require(purpose) == room.linked
        else:
            with pytest.raises(RejectedError, match="a key with role"):
                room.project.require(purpose)
    return set(found)


@pytest.mark.parametrize(
    ("role", "lets", "note"),
    [
        (Role.ADMIN, {"import", "upload", "train"}, ""),
        (Role.UNKNOWN, {"import", "upload", "train"}, ""),
        (Role.READ_ONLY, {"import"}, "'readonly' cannot upload pictures or retrain; use one"),
        (Role.INGESTION_ONLY, {"upload"}, "'ingestiononly' can only upload pictures; to import"),
        (Role.INGESTION_DEPLOYMENT, {"import", "upload"}, "'ingestion_deployment' cannot retrain"),
    ],
)
def test_what_a_key_cannot_do_is_said(room: Room, role: Role, lets: set[str], note: str) -> None:
    room.other(7, role)
    said = str(room.link()["note"])
    assert note in said
    assert bool(said) == bool(note)
    assert allowed(room) == lets


def test_a_key_for_uploads_alone_reads_nothing(room: Room) -> None:
    room.other(7, Role.INGESTION_ONLY)
    room.link()
    assert list(room.studio_side.asked) == ["key_info"]
    assert (room.linked.name, room.linked.impulse, room.linked.learn_block) == ("project 7", 0, 0)
    assert (room.project.impulses, room.project.compute_ms_left) == ((), None)


def test_a_key_of_which_it_is_not_known_what_it_shows_is_for_uploads_at_least(
    room: Room,
) -> None:
    room.other(7, Role.INGESTION_DEPLOYMENT)
    room.studio_side.refused["impulses"] = REFUSED
    assert "can only upload pictures" in str(room.link()["note"])
    assert (room.linked.name, room.linked.learn_block) == ("Parcels", 0)
    assert allowed(room) == {"upload"}


def test_without_a_link_nothing_may_be_done(room: Room) -> None:
    assert not any(room.project.may(purpose) for purpose in EVERYTHING)
    for ask in (room.project.require, room.project.studio, room.project.ingestion):
        with pytest.raises(RejectedError) as caught:
            ask()
        assert str(caught.value) == NOT_LINKED
    assert room.opened == []


def test_a_role_of_a_later_version_is_left_to_the_server(room: Room) -> None:
    room.link()
    room.kept.write(replace(room.linked, role="superuser"))
    room.project = room.restarted()
    assert allowed(room) == {"import", "upload", "train"}


# -- the two APIs ---------------------------------------------------------------------------------


def test_the_apis_are_opened_with_the_key_of_now(room: Room) -> None:
    room.link(studio="https://own/v1", ingestion="https://own-ingestion")
    room.keys.key = "ei_other"
    room.project.studio()
    with pytest.raises(CloudUnavailable):
        room.project.ingestion()
    assert room.opened[1:] == [
        ("studio", "https://own/v1", "ei_other"),
        ("ingestion", "https://own-ingestion", "ei_other"),
    ]
    room.keys.key = None
    with pytest.raises(KeyRefused, match="NXAI_CLOUD_SYNC_KEY_FILE"):
        room.project.studio()


# -- trouble --------------------------------------------------------------------------------------


def test_a_key_that_was_refused_is_trouble_until_a_person_acts(room: Room) -> None:
    assert room.project.trouble == ""
    room.link()
    room.project.note_failure(CloudUnavailable("no network"))
    assert room.project.trouble == ""
    room.project.note_failure(REFUSED)
    assert room.project.trouble == "the key was refused"
    assert room.project.trouble == "the key was refused"
    room.link()
    assert room.project.trouble == ""


def test_another_key_is_no_trouble(room: Room) -> None:
    """A secret that is replaced in its place, without a command."""
    room.link()
    room.project.note_failure(REFUSED)
    room.keys.key = "ei_other"
    assert room.project.trouble == ""
    room.project.note_failure(REFUSED)
    room.keys.trouble = ConfigurationError("the key file cannot be read")
    assert room.project.trouble == ""
    room.project.note_failure(KeyRefused("there is no API key"))
    assert room.project.trouble == "there is no API key"
    room.keys.trouble = None
    assert room.project.trouble == ""


# -- unlinking ------------------------------------------------------------------------------------


def test_project_and_key_are_forgotten(room: Room) -> None:
    room.link()
    room.project.note_failure(REFUSED)
    room.project.forget()
    assert (room.project.link, room.keys.key, room.kept.content) == (None, None, None)
    assert (room.project.impulses, room.project.trouble) == ((), "")
    assert room.project.compute_ms_left is None
    assert room.restarted().link is None
    room.project.forget()  # nothing is nothing


def test_a_key_that_is_not_ours_to_delete_is_no_trouble_any_more(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room.keys, "forget", lambda: None)  # a secret that somebody else keeps
    room.link()
    room.project.note_failure(REFUSED)
    room.project.forget()
    assert (room.project.link, room.project.trouble) == (None, "")


def test_nothing_is_sent_any_more_whatever_cannot_be_removed(room: Room) -> None:
    room.link()
    room.keys.trouble = ConfigurationError("the key cannot be deleted")
    with pytest.raises(ConfigurationError, match="the key cannot be deleted"):
        room.project.forget()
    assert room.project.link is None
    assert room.restarted().link is None
    room.keys.trouble = None
    room.link()
    room.kept.trouble = FULL
    with pytest.raises(type(FULL)):
        room.project.forget()
    assert (room.project.link, room.keys.key) == (None, None)


def test_who_unlinks_while_it_is_linked_has_the_last_word(room: Room) -> None:
    room.studio_side.before["impulses"] = room.project.forget
    with pytest.raises(RejectedError, match="the project was unlinked meanwhile"):
        room.project.connect(LinkProject(), Heard().job)
    assert (room.project.link, room.project.impulses, room.kept.content) == (None, (), None)


def unlinked_while_it_is_written(room: Room) -> threading.Thread:
    """Let a person unlink while the disk takes its time."""
    unlinking = threading.Thread(target=room.project.forget)

    def unlink() -> None:
        unlinking.start()
        wait_for(lambda: room.project._unlinked)

    room.kept.at_write = unlink
    return unlinking


def test_who_unlinks_while_the_file_is_written_has_the_last_word(room: Room) -> None:
    unlinking = unlinked_while_it_is_written(room)
    with pytest.raises(RejectedError, match="the project was unlinked meanwhile"):
        room.project.connect(LinkProject(), Heard().job)
    unlinking.join(10)
    assert (room.project.link, room.kept.content) == (None, None)
    assert room.project.impulses == ()


def test_the_name_of_its_models_brings_a_project_not_back(room: Room) -> None:
    room.project.name_models("parcels")
    assert room.kept.content is None
    room.link()
    unlinking = unlinked_while_it_is_written(room)
    room.project.name_models("parcels")
    unlinking.join(10)
    assert (room.project.link, room.kept.content) == (None, None)


def test_a_slow_disk_holds_up_nobody_who_asks(room: Room) -> None:
    room.link()
    writing, go_on = threading.Event(), threading.Event()

    def take_time() -> None:
        writing.set()
        assert go_on.wait(10)

    room.kept.at_write = take_time
    naming = threading.Thread(target=room.project.name_models, args=("parcels",))
    naming.start()
    assert writing.wait(10)
    assert room.linked.model == ""
    go_on.set()
    naming.join(10)
    assert room.linked.model == "parcels"


def test_what_cannot_be_read_is_not_nothing(room: Room) -> None:
    room.link()
    room.kept.trouble = FULL
    with pytest.raises(type(FULL)):
        room.restarted()


def test_impulses_and_project_are_those_of_the_link(room: Room) -> None:
    room.studio_side.about = ProjectInfo(7, "Other name", compute_ms_left=None)
    room.studio_side.info = KeyInfo(7, Role.ADMIN)
    offers: tuple[Impulse, ...] = (SECOND,)
    room.studio_side.offers = offers
    room.link()
    assert (room.linked.name, room.linked.impulse_name) == ("Other name", "Impulse #2")
    assert room.project.impulses == offers
