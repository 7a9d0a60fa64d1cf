"""No password leaves for a page, and each comes back to its own camera alone."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nxai_manager.core.consistency import PASSWORD_KEYS, PLACEHOLDER
from nxai_manager.core.hidden import (
    LONGEST_URL,
    NONE_KEPT,
    SEVERAL_KEPT,
    TYPE_AGAIN,
    URL_AGAIN,
    WHOLE,
    hide,
    hide_value,
    reveal,
    secrets_of,
)
from nxai_manager.core.loose_json import read_loosely
from nxai_manager.core.problems import RefusedSettings, check_settings
from nxai_manager.core.schema import settings_schema
from nxai_manager.core.secret_names import secret_name

MARKER = "zQj7WkXv0pLr4TnB"
"""In every secret here, and nowhere else."""

nasty = st.text('@:/#?%"\\&=_ \u2022\U0001f511\u00e4{}[],\n\x00', max_size=6)
passwords = st.builds(lambda before, after: before + MARKER + after, nasty, nasty)
hosts = st.sampled_from(["192.0.2.1", "cam.local", "[fd00::1]:8554", "192.0.2.1:80"])


def source(kind: str, host: str) -> dict[str, Any]:
    if kind == "demo":
        return {"type": "demo"}
    scheme = "rtsp" if kind == "rtsp" else "http"
    return {"type": kind, "url": f"{scheme}://{host}/stream"}


cameras = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.sampled_from(["front", "back", "a", "b", "c"]),
            "source": st.builds(source, st.sampled_from(["rtsp", "still", "mjpeg"]), hosts),
        },
        optional={
            "username": st.text(max_size=5),
            "password": passwords | st.just(""),
            "masks": st.just([[[0, 0], [0.5, 0], [0.5, 1]]]),
        },
    ),
    max_size=4,
    unique_by=lambda camera: str(camera["id"]),
)
documents = st.fixed_dictionaries({"cameras": cameras}, optional={"device": st.just({"name": "b"})})


def camera(**fields: Any) -> dict[str, Any]:
    rtsp = {"type": "rtsp", "url": "rtsp://192.0.2.1/1"}
    return {"id": "front", "source": rtsp, "username": "joe", "password": "hunter2"} | fields


def hidden(*found: dict[str, Any]) -> dict[str, Any]:
    return {"cameras": [hide_value(c) for c in found]}


def back(sent: dict[str, Any], *kept: dict[str, Any]) -> list[str]:
    """Return the passwords that come of what a page sent, or the reasons why not."""
    text, problems = reveal(json.dumps(sent), [{"cameras": [*kept]}])
    if problems:
        return [problem.reason for problem in problems]
    return [c.get("password", "") for c in json.loads(text)["cameras"]]


# -- out ------------------------------------------------------------------------------------------


@given(document=documents, indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_no_password_is_in_what_leaves_and_all_come_back(
    document: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    shown = hide(text)
    assert MARKER not in shown
    assert MARKER not in json.dumps(hide_value(document))
    assert json.loads(shown) == hide_value(document)
    assert text.count("\n") == shown.count("\n")
    revealed, problems = reveal(shown, [document])
    assert problems == ()
    assert json.loads(revealed) == document
    assert hide(shown) == shown
    assert secrets_of(text) == {c["password"] for c in document["cameras"] if c.get("password")}


SLIPS: list[Callable[[str, int], str]] = [
    lambda text, at: text[:at] + text[at + 1 :],
    lambda text, at: text[:at] + '"' + text[at:],
    lambda text, at: text[:at] + "\n" + text[at:],
    lambda text, at: text[:at] + "," + text[at:],
    lambda text, at: text[:at] + "//" + text[at:],
    lambda text, at: text[:at] + "}" + text[at:],
    lambda text, at: text[:at] + "'" + text[at + 1 :],
    lambda text, at: text[: text.rfind("\n", 0, at)] + text[at:],
]


@settings(max_examples=400)
@given(
    document=documents,
    indent=st.sampled_from([None, 1]),
    slips=st.lists(
        st.tuples(st.sampled_from(SLIPS), st.floats(0, 1)),
        min_size=1,
        max_size=3,
    ),
)
def test_no_password_is_in_what_is_shown_of_a_broken_text(
    document: dict[str, Any],
    indent: int | None,
    slips: list[tuple[Callable[[str, int], str], float]],
) -> None:
    text = json.dumps(document, indent=indent)
    for slip, share in slips:
        text = slip(text, int(share * len(text)))
    shown = hide(text)
    halves = (MARKER[i : i + 5] for i in range(len(MARKER) - 4))
    assert not [half for half in halves if half in shown], text


@pytest.mark.parametrize(
    "line",
    [
        '"password": "hunter2',
        '"password: "hunter2"',
        "'password': 'hunter2'",
        '"password" "hunter2"',
        '"password", "hunter2"',
        '"password": hunter2',
        '"password":\n"hunter2"',
        '"password":\n,,"hunter2"',
        '"password": "joe" "hunter2"',
        '"password": {"it": "hunter2"}',
        '"password": {"hunter2": 1}',
        '"password": ["hunter2", "hunter2"]',
        '"password" = "hunter2"',
        '"password": "hunter2" // ours',
        '// "password": "hunter2"',
        '"pasword": "hunter2"',
        '"psswrd": "hunter2"',
        '"PASSWORD": "hunter2"',
        '"Kennwort": "hunter2"',
        '"pwd": "hunter2"',
        '"api_key": "hunter2"',
        '"key": "hunter2"',
        '"pass\\u0077ord": "hunter2"',
        '"source": {"url": "rtsp://joe:hunter2@192.0.2.1/1"}',
        '"source": {"url": "joe:hunter2@192.0.2.1/1"}',
        '"source": {"url": "rtsp://joe:a/hunter2@192.0.2.1/1"}',
        '"source": {"url": "rtsp://joe:a?hunter2@192.0.2.1/1"}',
        '"source": {"url": "rtsp://192.0.2.1/user=a_password=hunter2_channel=1"}',
        '"source": {"url": "http://192.0.2.1/?user=a&pwd=hunter2"}',
        '"source": {"url": "http://192.0.2.1/?user=a&%70wd=hunter2"}',
        '"source": {"url": "http://192.0.2.1/user=a_password%3Dhunter2"}',
        '"source": {"url": "http://192.0.2.1/?password={password}&token=hunter2"}',
        '"name": "http://joe:hunter2@192.0.2.1"',
    ],
)
@pytest.mark.parametrize("end", ["", "}"])
def test_slips_hide_what_may_be_the_password(line: str, end: str) -> None:
    shown = hide('{"cameras": [{"id": "front",\n' + line + ',\n"models": ["nuts"]}' + end)
    assert "hunter2" not in shown
    assert '"front"' in shown
    assert PLACEHOLDER in shown
    assert '"models": ["nuts"]' in shown


def test_number_and_word_as_a_password_are_hidden_and_nothing_is_not() -> None:
    values: list[Any] = [12345, True, "", None]
    text = json.dumps({"cameras": [{"password": value} for value in values]})
    assert json.loads(hide(text))["cameras"] == [
        {"password": PLACEHOLDER},
        {"password": PLACEHOLDER},
        {"password": ""},
        {"password": None},
    ]


def test_line_that_makes_no_sense_is_hidden_whole_and_its_indent_stays() -> None:
    assert hide('{\n  "name": "x,\n  "id": "a"\n}') == f'{{\n  {PLACEHOLDER}\n  "id": "a"\n}}'


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://192.0.2.1:554/h264?channel=1&stream=0.sdp",
        "rtsp://192.0.2.1/user={username}_password={password}_channel=1_stream=0.sdp?real_stream",
        "http://192.0.2.1/?user=joe&password=&channel=1",
        "http://192.0.2.1/?user={username}&password={password}",
        "http://192.0.2.1/passage/1",
    ],
)
def test_url_without_a_secret_is_shown_as_it_is(url: str) -> None:
    text = json.dumps({"cameras": [camera(source={"type": "rtsp", "url": url}, password="")]})
    assert hide(text) == text


def test_user_names_are_hidden_when_asked() -> None:
    document = {"cameras": [camera()], "username": "", "models": [{"id": "username"}]}
    shown = json.loads(hide(json.dumps(document), usernames=True))
    assert shown == hide_value(document, usernames=True)
    assert shown["cameras"][0]["username"] == PLACEHOLDER
    assert shown["username"] == ""
    assert shown["models"] == [{"id": "username"}]


def keys_of(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(keys_of, schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", {})) | set().union(*map(keys_of, schema.values()), set())


def test_of_all_settings_only_the_password_is_a_secret() -> None:
    keys = keys_of(settings_schema())
    assert {"id", "url", "image_threshold", "open_timeout_s"} < keys
    sounding = {key for key in keys if secret_name(key)}
    assert sounding == {"password", "password_secret", "token_secret", "authority"}
    assert all(map(secret_name, PASSWORD_KEYS))


@pytest.mark.parametrize(
    ("key", "value", "seen"),
    [
        ("password_secret", "shop", True),
        ("password_secret", "Hunter 2", False),
        ("token_secret", "influx_token", True),
        ("authority", "/secrets/ca.pem", True),
        ("authority", "hunter2", False),
        ("Authorization", "Bearer {{ secret.shop }}", True),
        ("X-Api-Key", "{{secret.shop}}", True),
        ("X-Signature", "sha1={{ secret.shop }}", True),
        ("Authorization", "Bearer hunter2", False),
        ("Authorization", "hunter2 {{ secret.shop }} hunter2", False),
        ("token", 7, False),
    ],
)
def test_what_only_names_a_secret_is_shown(key: str, value: object, seen: bool) -> None:
    part = {"outputs": {"destinations": [{"type": "http", key: value}]}}
    assert (hide_value(part) == part) is seen
    elsewhere = {"cameras": [{key: value}]}
    assert hide_value(elsewhere) != elsewhere
    inside = {"outputs": {"token": {key: value}}}
    assert hide_value(inside) != inside


# -- in -------------------------------------------------------------------------------------------


def test_password_that_was_typed_is_taken() -> None:
    assert back({"cameras": [camera(password="new")]}, camera()) == ["new"]


@pytest.mark.parametrize("password", ["hunter2", f"{PLACEHOLDER}x", "\u2022"])
def test_password_is_kept_whatever_it_is(password: str) -> None:
    assert back(hidden(camera(password=password)), camera(password=password)) == [password]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Door"},
        {"username": "jim"},
        {"enabled": False},
        {"source": {"type": "rtsp", "url": "rtsp://192.0.2.1/other?x=1", "transport": "tcp"}},
        {"source": {"type": "rtsp", "url": "RTSP://192.0.2.1:554/1"}},
    ],
)
def test_change_that_leaves_the_address_keeps_the_password(change: dict[str, Any]) -> None:
    assert back(hidden(camera(**change)), camera()) == ["hunter2"]


@pytest.mark.parametrize(
    "source",
    [
        {"type": "rtsp", "url": "rtsp://192.0.2.2/1"},
        {"type": "rtsp", "url": "rtsp://192.0.2.1:8554/1"},
        {"type": "rtsp", "url": "rtsps://192.0.2.1/1"},
        {"type": "still", "url": "http://192.0.2.1/1"},
        {"type": "rtsp", "url": "rtsp://192.0.2.1:99999/1"},
        {"type": "rtsp", "url": "rtsp://192.0.2.1#.evil/1"},
        {"type": "rtsp", "url": "rtsp://192.0.2.1\\.evil/1"},
        {"type": "rtsp", "url": "rtsp://192.0.2.1\n.evil/1"},
        {"type": "rtsp", "url": "rtsp://192.0.2.1?@evil/1"},
        {"type": "rtsp", "url": "rtsp://joe@192.0.2.1/1"},
        {"type": "rtsp", "url": "rtsp://evil%2F192.0.2.1/1"},
        {"type": "rtsp", "url": 7},
        {"type": "rtsp"},
        {"type": "demo"},
        {"type": "v4l2", "device": "/dev/video0"},
        "rtsp://192.0.2.1/1",
    ],
)
def test_password_goes_to_no_other_address(source: Any) -> None:
    [sent] = hidden(camera())["cameras"]
    assert back({"cameras": [sent | {"source": source}]}, camera()) == [TYPE_AGAIN]
    assert back(hidden(camera()), camera(source=source)) == [TYPE_AGAIN]
    assert back({"cameras": [camera(source=source, password="new")]}, camera()) == ["new"]


def test_camera_without_a_url_keeps_its_password_on_the_same_device() -> None:
    """Only a file that is refused anyway has such a camera."""
    usb = {"type": "v4l2", "device": "/dev/video0"}
    assert back(hidden(camera(source=usb)), camera(source=usb)) == ["hunter2"]
    other = {"type": "v4l2", "device": "/dev/video1"}
    assert back(hidden(camera(source=other)), camera(source=usb)) == [TYPE_AGAIN]


def test_camera_that_is_not_known_has_no_password() -> None:
    assert back(hidden(camera())) == [NONE_KEPT]
    assert back(hidden(camera()), camera(password="")) == [NONE_KEPT]
    assert back(hidden(camera()), camera(id="other")) == ["hunter2"]  # it got another name
    assert back(hidden(camera(), camera(id="other")), camera(id="other")) == [NONE_KEPT]


def test_camera_with_another_name_keeps_its_password_when_nothing_else_changed() -> None:
    assert back(hidden(camera(id="door")), camera()) == ["hunter2"]
    assert back(hidden(camera(id="door", name="Door")), camera()) == [NONE_KEPT]
    other = camera(id="back", source={"type": "rtsp", "url": "rtsp://192.0.2.9/1"}, password="x")
    assert back(hidden(other, camera(id="door")), camera(), other) == ["x", "hunter2"]


def test_alike_cameras_with_other_names_are_told_apart_by_their_places() -> None:
    a, b = camera(id="a", password="1"), camera(id="b", password="2")
    sent = hidden(camera(id="x"), camera(id="y"))
    assert back(sent, a, b) == ["1", "2"]
    assert back(hidden(camera(id="z"), camera(id="a"), camera(id="x")), a, b) == ["2", "1", "2"]
    nowhere = {"type": "demo"}
    assert back(hidden(camera(id="p", source=nowhere, password=""), a, camera(id="x")), a, b) == [
        "",
        "1",
        "2",
    ]
    new = camera(id="p", source=nowhere, password="")
    assert back(hidden(new, new, camera(id="x")), a, b) == [SEVERAL_KEPT]


def test_camera_that_stands_twice_in_a_broken_file_is_told_apart_by_its_place() -> None:
    first, second = camera(password="1"), camera(password="2")
    assert back(hidden(camera()), first, second) == ["1"]
    assert back(
        hidden(camera(id="p", source={"type": "demo"}, password=""), camera()), first, second
    ) == ["", "2"]
    assert back(hidden(camera()), first, first) == ["1"]


def test_kept_settings_are_asked_in_turn() -> None:
    def kept(password: str, **change: Any) -> dict[str, Any]:
        return {"cameras": [camera(password=password, **change)]}

    sent = json.dumps(hidden(camera()))
    elsewhere = {"type": "rtsp", "url": "rtsp://192.0.2.9/1"}
    turns: list[tuple[list[Any], str]] = [
        ([kept("1"), kept("2")], "1"),
        ([kept("1", source=elsewhere), kept("2")], "2"),
        ([None, {"cameras": None}, {"cameras": [None, 7]}, kept("2")], "2"),
    ]
    for known, password in turns:
        text, problems = reveal(sent, known)
        assert problems == ()
        assert json.loads(text)["cameras"][0]["password"] == password


def test_password_under_a_mistyped_key_of_a_broken_file_is_found() -> None:
    mistyped = camera(pasword="hunter2")
    del mistyped["password"]
    assert back(hidden(camera()), mistyped) == ["hunter2"]
    assert back(hidden(camera()), mistyped | {"pwd": "x"}) == [NONE_KEPT]


@pytest.mark.parametrize(
    "password", [f"{PLACEHOLDER}x", f"x{PLACEHOLDER}", "\u2022" * 7, "\u2022" * 9]
)
def test_placeholder_with_something_more_is_no_password(password: str) -> None:
    assert back({"cameras": [camera(password=password)]}, camera()) == [WHOLE]


def test_password_with_a_bullet_in_it_is_one() -> None:
    assert back({"cameras": [camera(password="a\u2022b")]}, camera()) == ["a\u2022b"]


def test_problem_has_its_line_and_place() -> None:
    text = json.dumps({"cameras": [camera(), camera(id="back", password=PLACEHOLDER)]}, indent=1)
    revealed, [problem] = reveal(text, [])
    assert revealed == text
    assert (problem.where, problem.reason) == ("cameras.back.password", NONE_KEPT)
    assert text.splitlines()[problem.line - 1].strip().startswith('"password"')


def test_text_that_is_not_json_comes_back_as_it_is() -> None:
    assert reveal(f'{{"password": "{PLACEHOLDER}"', [{}]) == (f'{{"password": "{PLACEHOLDER}"', ())


def test_bullets_elsewhere_are_left_alone() -> None:
    text = json.dumps(
        {"password": PLACEHOLDER, "cameras": {"0": {"password": PLACEHOLDER}}, "a": PLACEHOLDER}
    )
    assert reveal(text, []) == (text, ())


def with_url(url: str, **fields: Any) -> dict[str, Any]:
    return camera(source={"type": "still", "url": url}, password="", **fields)


def test_secret_part_of_a_url_comes_back_when_the_rest_is_the_same() -> None:
    kept = with_url("http://192.0.2.1/?token=hunter2", inference_limit_ms=5)
    [shown] = hidden(kept)["cameras"]
    assert shown["source"]["url"] == f"http://192.0.2.1/?token={PLACEHOLDER}"
    revealed, problems = reveal(
        json.dumps({"cameras": [shown | {"name": "x"}]}), [{"cameras": [kept]}]
    )
    assert problems == ()
    assert json.loads(revealed)["cameras"] == [kept | {"name": "x"}]
    evil = with_url(f"http://192.0.2.2/?token={PLACEHOLDER}")
    assert back({"cameras": [evil]}, kept) == [URL_AGAIN]
    named = with_url("http://192.0.2.1/", name=f"http://192.0.2.1/?token={PLACEHOLDER}")
    assert back({"cameras": [named]}, kept) == [URL_AGAIN]


def test_urls_that_look_alike_are_told_apart_by_their_cameras() -> None:
    a = with_url("http://192.0.2.1/?token=1", id="a")
    b = with_url("http://192.0.2.1/?token=2", id="b")
    revealed, problems = reveal(json.dumps(hidden(b, a)), [{"cameras": [a, b]}])
    assert problems == ()
    assert json.loads(revealed)["cameras"] == [b, a]
    assert back(hidden(with_url("http://192.0.2.1/?token=1", id="c")), a, b) == [URL_AGAIN]


@given(password=passwords, user=st.text("ab:/%", max_size=3))
def test_url_with_any_password_in_it_hides_it(password: str, user: str) -> None:
    password = password.lstrip("&#")  # by the rules of URLs it ends there, before it began
    for url in (
        f"rtsp://{user}:{password}@192.0.2.1/1",
        f"rtsp://{user}:{quote(password, safe='')}@192.0.2.1/1",
        f"http://192.0.2.1/?a=1&password={password}&b=2",
        f"http://192.0.2.1/?a=1&password={quote(password, safe='')}&b=2",
        f"rtsp://192.0.2.1/user={user}_password={password}_channel=1",
    ):
        document = {"cameras": [with_url(url)]}
        shown = hide(json.dumps(document))
        assert MARKER not in shown
        revealed, problems = reveal(shown, [document])
        assert (json.loads(revealed), problems) == (document, ())


def test_copy_of_the_page_is_no_file_and_says_where_it_is_not() -> None:
    document = {"cameras": [camera(), with_url("http://192.0.2.1/?token=x", id="back")]}
    with pytest.raises(RefusedSettings) as caught:
        check_settings(hide(json.dumps(document, indent=1), usernames=True))
    assert [(p.where, p.reason.partition(" ")[0]) for p in caught.value.problems] == [
        ("cameras.front.username", PLACEHOLDER),
        ("cameras.front.password", PLACEHOLDER),
        ("cameras.back.source.url", PLACEHOLDER),
        ("cameras.back.username", PLACEHOLDER),
    ]
    assert back(hidden(camera(password=PLACEHOLDER)), camera(password=PLACEHOLDER)) == [NONE_KEPT]


def test_what_a_loose_reading_of_a_broken_file_found_gives_the_password_back() -> None:
    text = json.dumps({"cameras": [camera()]}, indent=1)
    broken = text.replace(',\n   "username', '\n   "username')
    assert broken != text
    shown = hide(broken)
    mended = shown.replace('\n   "username', ',\n   "username')
    revealed, problems = reveal(mended, [read_loosely(broken).value])
    assert (revealed, problems) == (text, ())


@pytest.mark.parametrize("text", ["a" * 200_000, "a=" * 100_000, "%3d" * 70_000, "@" * 200_000])
def test_long_texts_are_looked_through_once(text: str) -> None:
    """A pattern that begins anew at each character needs minutes for these, and stops the box."""
    document = {
        "cameras": [{"id": "a", "name": f"x://{text}", "source": {"url": text}}],
        text: text,
    }
    shown = hide(json.dumps(document))
    assert secret_name(text) == ("pas" in text)
    assert reveal(shown, [document])[1] == ()


def test_what_follows_the_name_of_a_secret_is_hidden_in_a_broken_text_alone() -> None:
    text = '{"labels": ["password", "hunter2", 7], "a": "b"}'
    assert hide(text) == text
    dots = f'"{PLACEHOLDER}"'
    assert hide(text[:-1]) == f'{{"labels": [{dots}, {dots}, {dots}], "a": "b"'


def test_broken_text_in_which_a_known_password_is_left_is_not_shown_at_all() -> None:
    broken = json.dumps({"cameras": [camera(name="hunter2 \u00e4")]})[:-1]
    assert "hunter2" in hide(broken)  # a name is a name
    assert hide(broken, known=["other", "hunter2"]) == PLACEHOLDER
    assert hide(broken, known=["r2 \u00e4"]) == PLACEHOLDER
    assert hide(broken, known=["joe", "x"]) == hide(broken)  # too short to tell
    whole = broken + "}"
    assert hide(whole, known=["hunter2"]) == hide(whole)


def test_url_that_is_too_long_for_one_is_hidden_unread() -> None:
    kept = with_url("http://192.0.2.1/" + "a" * LONGEST_URL)
    [shown] = hidden(kept)["cameras"]
    assert shown["source"]["url"] == PLACEHOLDER
    revealed, problems = reveal(json.dumps({"cameras": [shown]}), [{"cameras": [kept]}])
    assert (json.loads(revealed), problems) == ({"cameras": [kept]}, ())
