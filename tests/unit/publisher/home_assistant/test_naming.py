from hypothesis import given
from hypothesis import strategies as st

from nxai_publisher.core.home_assistant.naming import (
    LONGEST_STATE,
    cut,
    label_key,
    label_slugs,
    named,
    shown,
    slug,
)

labels = st.text(min_size=1, max_size=200)


@given(label=labels)
def test_a_key_is_of_few_characters(label: str) -> None:
    key = label_key(label)
    assert 0 < len(key) <= 40
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")


@given(several=st.lists(labels, unique=True, max_size=20))
def test_no_two_labels_share_a_key_or_an_id(several: list[str]) -> None:
    assert len({label_key(label) for label in several}) == len(several)
    assert len(set(label_slugs(tuple(several)).values())) == len(several)


def test_a_plain_label_is_its_own_key() -> None:
    assert label_key("m5_nut") == "m5_nut"


def test_keys_of_other_labels_are_told_apart_and_stay() -> None:
    assert label_key("M5 nut") == "m5_nut-4f70fb789f"
    assert label_key("m5-nut") != label_key("M5 nut")
    assert label_key("🔩").startswith("label-")


def test_ids_for_people_are_short_where_they_can_be() -> None:
    assert label_slugs(("Größe/2+", "nut")) == {"Größe/2+": "grosse_2", "nut": "nut"}
    alike = label_slugs(("Nut", "nut"))
    assert all(name.startswith("nut_") for name in alike.values())
    assert label_slugs(("🔩",)) == {"🔩": "label"}


def test_a_slug_may_be_empty() -> None:
    assert slug("Straße 7") == "strasse_7"
    assert slug("+/🔩") == ""


def test_what_people_read_is_one_line_that_can_be_seen() -> None:
    assert shown("a\x00b\n c\ud800") == "a b c"
    assert shown("\x00") == "?"
    assert shown("👩‍🔧") == "👩‍🔧"


def test_long_texts_are_cut() -> None:
    assert cut("x" * LONGEST_STATE) == "x" * LONGEST_STATE
    assert cut("x" * 300) == "x" * 254 + "…"
    assert cut("abc", 2) == "a…"


def test_no_entity_is_called_as_its_device() -> None:
    assert named("Belt", "nut count", "other") == "nut count"
    assert named("nut", "Nut count", "other") == "other"
