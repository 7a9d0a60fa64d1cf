"""XML from strangers."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_capture.core.xml_message import (
    DEEPEST,
    MOST_BYTES,
    MOST_ELEMENTS,
    parse_xml,
    text_at,
)
from nxai_common.errors import InvalidPayload


def test_names_are_without_their_namespaces() -> None:
    root = parse_xml(b'<a:x xmlns:a="urn:a" xmlns:b="urn:b" b:k="v"><y xmlns="urn:c"> z </y></a:x>')
    assert (root.tag, root.get("k")) == ("x", "v")
    assert (text_at(root, "y"), text_at(root, "nothing")) == ("z", "")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_other_encodings_are_read(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><x>é</x>'
    assert parse_xml(text.encode(encoding)).text == "é"


BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">
<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><x>&b;</x>"""
FILE = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>'


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (BOMB, "with a document type"),
        (BOMB.decode().encode("utf-16"), "with a document type"),
        (FILE, "with a document type"),
        (b"<x>&undefined;</x>", "no XML"),
        (b"<a>" * (DEEPEST + 1), "deeper than"),
        (b"<a>" + b"<b/>" * MOST_ELEMENTS + b"</a>", "more than 50000 parts"),
        (b"<a>" + b" " * MOST_BYTES + b"</a>", "at most 1000000 are read"),
        (b"", "no XML"),
        (b"<!doctype html><p>Log in", "no XML"),
        (b'<?xml version="1.0" encoding="nonsense"?><x/>', "no XML"),
        (b"<a></b>", "no XML"),
        (b"\xff\xfe", "no XML"),
    ],
)
def test_what_can_do_harm_or_is_no_xml_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(InvalidPayload, match=why):
        parse_xml(data)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with suppress(InvalidPayload):
        parse_xml(data)
