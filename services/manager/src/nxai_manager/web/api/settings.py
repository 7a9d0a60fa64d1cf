"""settings.json: read, checked, changed, brought back, taken along."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from aiohttp import web
from pydantic import RootModel, StringConstraints

from nxai_manager.core.accounts import Scope
from nxai_manager.core.editing import CameraExists, NoSuchCamera
from nxai_manager.core.hidden import hide
from nxai_manager.core.history import ENTRY_PATTERN, Entry, How, NoSuchEntry
from nxai_manager.core.json_text import MAX_CHARACTERS
from nxai_manager.core.nx_settings import Outcome
from nxai_manager.core.problems import Problem, RefusedSettings
from nxai_manager.core.schema import settings_schema
from nxai_manager.desk import GOOD, SettingsBroken, SettingsChanged, View
from nxai_manager.web.answer import Answer, FieldProblem, Refused
from nxai_manager.web.endpoint import Call, Endpoint, Form

TAG: Final = "settings"
JSON: Final = "application/json"

# -- what comes in and goes out -------------------------------------------------------------------

Text = Annotated[str, StringConstraints(max_length=MAX_CHARACTERS)]
Revision = Annotated[str, StringConstraints(max_length=40)]
Token = Annotated[str, StringConstraints(max_length=40)]


class GoodAnswer(Answer):
    """What is in force."""

    revision: str
    at: datetime
    """Since when."""
    how: How
    """By which way it came."""
    who: str = ""
    """User of the page, where it came from there."""


class SettingsAnswer(Answer):
    """How the settings stand."""

    text: str
    """Of the file; eight bullets (U+2022) stand for each password."""
    revision: str
    """Of the text; a change is made to one. Empty: there is no file."""
    problems: tuple[FieldProblem, ...] = ()
    """Why the text cannot be used; what is in force then is `good`."""
    in_force: bool
    """Whether the text in the file is what runs."""
    held_up: str = ""
    """Why a text without problems is not in force yet."""
    good: GoodAnswer | None = None
    """What is in force; null: nothing yet. `POST /settings/history/good/restore` brings it back."""


class NewSettings(Form):
    """A whole text."""

    text: Text
    """Eight bullets stand for the password that is kept for the camera, if its address is the
    same."""
    revision: Revision
    """Of the text that was changed."""
    imported: Token = ""
    """`token` of the import that the text came from."""


class Changes(Form):
    """A merge patch (RFC 7396) of the parts at the top; null takes one away."""

    device: dict[str, Any] | None = None
    run: bool | None = None
    outputs: dict[str, Any] | None = None
    logger: dict[str, Any] | None = None
    edge_impulse: dict[str, Any] | None = None
    models: list[dict[str, Any]] | None = None
    """All of them: a list is replaced as a whole."""


class ChangeSettings(Form):
    """Some parts."""

    changes: Changes
    revision: Revision | None = None
    """Of the text that was changed; left out: whatever is there."""


class CheckText(Form):
    """A text that is not saved."""

    text: Text
    imported: Token = ""
    """`token` of the import that the text came from."""


class CheckAnswer(Answer):
    """What is wrong with a text; nothing: it can be saved."""

    problems: tuple[FieldProblem, ...]


class SchemaAnswer(RootModel[dict[str, Any]]):
    """JSON Schema (2020-12) of settings.json."""


class EntryName(Form):
    """Which entry."""

    entry: Annotated[str, StringConstraints(pattern=f"{ENTRY_PATTERN}|^{GOOD}$")]
    """Its id, or `good` for what is in force."""


class EntryAnswer(Answer):
    """A text that is kept."""

    id: str
    at: datetime
    """When it came into force, or was put aside."""
    how: How
    """By which way it came: `file` is an edit by hand."""
    who: str = ""
    """User of the page, where it came from there."""
    restored: str = ""
    """Id of the entry that was brought back."""
    revision: str
    used: bool
    """Whether it came into force; else it was a hand edit with mistakes that was replaced."""
    in_force: bool
    changes: tuple[str, ...]
    """Paths of what differs from the entry before, the first few ..."""
    more_changes: int
    """... and how many more."""


class HistoryAnswer(Answer):
    """The texts that are kept, newest first."""

    entries: tuple[EntryAnswer, ...]


class Against(Form):
    """What to compare with."""

    against: Literal["before", "now"] = "before"
    """before: the entry before it. now: the text in the file; what a restore would undo."""


class DifferenceAnswer(Answer):
    """One value that differs."""

    where: str
    """Path with ids instead of indexes: `cameras.front.inference_limit_ms`."""
    before: str | None
    """As JSON, cut; null: it was not there. The same as `after`: only a password differs."""
    after: str | None


class KeptAnswer(Answer):
    """A text that is kept, and how it differs."""

    entry: EntryAnswer
    text: str
    differences: tuple[DifferenceAnswer, ...]
    lines: str
    """The same as a unified diff; passwords make no difference there."""


class RestoreEntry(Form):
    """Which text is replaced."""

    revision: Revision | None = None
    """Of the text that is in the file; left out: whatever is there."""


class ImportFile(Form):
    """A settings file of this program or of the Nx AI Manager."""

    text: Text


class ImportedKey(Answer):
    """What became of one key of the Nx AI Manager's file."""

    key: str
    value: str
    """As JSON, cut; passwords are bullets."""
    outcome: Outcome
    where: str
    """Path in the settings."""
    note: str
    """What it became, why not, or what to do."""


class ImportAnswer(Answer):
    """What the file became. Nothing is changed: save the text, with the token."""

    kind: Literal["nxai-edge", "nx-ai-manager"]
    text: str
    token: str
    """Passwords of the file are remembered by it for an hour."""
    problems: tuple[FieldProblem, ...]
    """What is to be put right before the text can be saved."""
    keys: tuple[ImportedKey, ...]


# -- reading and changing -------------------------------------------------------------------------


async def show_settings(call: Call) -> SettingsAnswer:
    """Return the text of settings.json, and how it stands."""
    return stand(call, await call.box.in_turn(call.box.desk.look))


async def write_settings(call: Call) -> SettingsAnswer:
    """Write a whole text; a mistake is refused with its line, and nothing changes.

    The answer comes when the text is in force, or says what holds it up.
    """
    form: NewSettings = call.body
    with plainly():
        view = await call.box.in_thread(
            call.box.desk.write,
            form.text,
            form.revision,
            call.asker.name,
            imported=form.imported,
        )
    return stand(call, view)


async def change_settings(call: Call) -> SettingsAnswer:
    """Change some parts, and leave the rest of the text as it is."""
    form: ChangeSettings = call.body
    with plainly():
        view = await call.box.in_thread(
            call.box.desk.change,
            form.changes.model_dump(exclude_unset=True),
            call.asker.name,
            expected=form.revision,
        )
    return stand(call, view)


async def check_text(call: Call) -> CheckAnswer:
    """Say what is wrong with a text, without saving it."""
    form: CheckText = call.body
    found = await call.box.in_thread(call.box.desk.check, form.text, form.imported)
    return CheckAnswer(problems=problems_of(found))


async def show_schema(_call: Call) -> SchemaAnswer:
    """Return the JSON Schema of settings.json."""
    return SchemaAnswer(settings_schema())


def stand(call: Call, view: View) -> SettingsAnswer:
    """Return how the settings stand, for who asks."""
    good = view.good
    return SettingsAnswer(
        text=view.text if _sees_users(call) else hide(view.text, usernames=True),
        revision=view.revision,
        problems=problems_of(view.problems),
        in_force=view.in_force,
        held_up=view.held_up,
        good=None
        if good is None
        else GoodAnswer(
            revision=good.revision, at=good.at, how=good.author.how, who=good.author.who
        ),
    )


def problems_of(problems: tuple[Problem, ...]) -> tuple[FieldProblem, ...]:
    """Return problems as they go out."""
    return tuple(
        FieldProblem(where=p.where, reason=p.reason, line=p.line or None) for p in problems
    )


@contextmanager
def plainly() -> Iterator[None]:
    """Turn what the desk refuses into an answer."""
    try:
        yield
    except RefusedSettings as error:
        raise Refused(
            HTTPStatus.UNPROCESSABLE_ENTITY, error.summary, problems_of(error.problems)
        ) from None
    except SettingsBroken as error:
        raise Refused(HTTPStatus.CONFLICT, str(error), problems_of(error.problems)) from None
    except (SettingsChanged, CameraExists) as error:
        raise Refused(HTTPStatus.CONFLICT, str(error)) from None
    except (NoSuchCamera, NoSuchEntry) as error:
        raise Refused(HTTPStatus.NOT_FOUND, str(error)) from None


def _sees_users(call: Call) -> bool:
    """Return whether who asks may see the user names at the cameras."""
    return Scope.CONFIGURE in call.asker.scopes


# -- history --------------------------------------------------------------------------------------


async def list_history(call: Call) -> HistoryAnswer:
    """Return the texts that are kept, newest first: at most 200, and 20 MB."""
    view = call.box.desk.current()
    entries = await call.box.in_turn(call.box.desk.history)
    return HistoryAnswer(entries=tuple(_entry(entry, view) for entry in entries))


async def show_entry(call: Call) -> KeptAnswer:
    """Return a text that is kept, and how it differs from another one."""
    with plainly():
        kept = await call.box.in_turn(
            call.box.desk.entry,
            call.path.entry,
            against_now=call.query.against == "now",
            usernames=not _sees_users(call),
        )
    return KeptAnswer(
        entry=_entry(kept.entry, call.box.desk.current()),
        text=kept.text,
        differences=tuple(
            DifferenceAnswer(where=d.where, before=d.before, after=d.after)
            for d in kept.differences
        ),
        lines=kept.lines,
    )


async def restore_entry(call: Call) -> SettingsAnswer:
    """Bring a text back, with the passwords that it had.

    What it replaces is kept in the history, too, with its mistakes.
    """
    form: RestoreEntry = call.body
    with plainly():
        view = await call.box.in_thread(
            call.box.desk.restore, call.path.entry, call.asker.name, expected=form.revision
        )
    return stand(call, view)


def _entry(entry: Entry, view: View) -> EntryAnswer:
    return EntryAnswer(
        id=entry.id,
        at=entry.at,
        how=entry.author.how,
        who=entry.author.who,
        restored=entry.author.of,
        revision=entry.revision,
        used=entry.used,
        in_force=entry.used and view.good is not None and entry.revision == view.good.revision,
        changes=entry.changes,
        more_changes=entry.more_changes,
    )


# -- files ----------------------------------------------------------------------------------------


async def export_settings(call: Call) -> web.Response:
    """Download the settings without passwords: to look at, or for another box."""
    text = await call.box.in_turn(call.box.desk.export)
    if not _sees_users(call):
        text = hide(text, usernames=True)
    name = f"nxai-settings-{call.box.settings.device}-{datetime.now(UTC):%Y-%m-%d}.json"
    return web.Response(
        body=text.encode(),
        content_type=JSON,
        charset="utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


async def import_settings(call: Call) -> ImportAnswer:
    """Read a settings file of this program or of the Nx AI Manager, and return it for the editor.

    Changes nothing: what became of each key is told, and `PUT /settings` saves the text.
    """
    form: ImportFile = call.body
    with plainly():
        found = await call.box.in_thread(call.box.desk.take_in, form.text)
    return ImportAnswer(
        kind=found.kind,
        text=found.text,
        token=found.token,
        problems=problems_of(found.problems),
        keys=tuple(
            ImportedKey(
                key=row.key, value=row.value, outcome=row.outcome, where=row.where, note=row.note
            )
            for row in found.rows
        ),
    )


ENDPOINTS: Final = (
    Endpoint("GET", "/settings", show_settings, Scope.READ, SettingsAnswer, tag=TAG),
    Endpoint(
        "PUT",
        "/settings",
        write_settings,
        Scope.CONFIGURE,
        SettingsAnswer,
        body=NewSettings,
        errors=(HTTPStatus.CONFLICT,),
        tag=TAG,
    ),
    Endpoint(
        "PATCH",
        "/settings",
        change_settings,
        Scope.CONFIGURE,
        SettingsAnswer,
        body=ChangeSettings,
        errors=(HTTPStatus.CONFLICT,),
        tag=TAG,
    ),
    Endpoint(
        "POST",
        "/settings/check",
        check_text,
        Scope.CONFIGURE,
        CheckAnswer,
        body=CheckText,
        tag=TAG,
    ),
    Endpoint("GET", "/settings/schema", show_schema, Scope.READ, SchemaAnswer, tag=TAG),
    Endpoint("GET", "/settings/history", list_history, Scope.READ, HistoryAnswer, tag=TAG),
    Endpoint(
        "GET",
        "/settings/history/{entry}",
        show_entry,
        Scope.READ,
        KeptAnswer,
        query=Against,
        path_model=EntryName,
        tag=TAG,
    ),
    Endpoint(
        "POST",
        "/settings/history/{entry}/restore",
        restore_entry,
        Scope.CONFIGURE,
        SettingsAnswer,
        path_model=EntryName,
        body=RestoreEntry,
        errors=(HTTPStatus.CONFLICT,),
        tag=TAG,
    ),
    Endpoint(
        "GET",
        "/settings/export",
        export_settings,
        Scope.READ,
        raw_answer=JSON,
        tag=TAG,
    ),
    Endpoint(
        "POST",
        "/settings/import",
        import_settings,
        Scope.CONFIGURE,
        ImportAnswer,
        body=ImportFile,
        tag=TAG,
    ),
)
