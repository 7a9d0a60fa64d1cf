from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_publisher.core import packing
from nxai_publisher.core.detections import detections_of
from nxai_publisher.core.observation import observe
from nxai_publisher.core.packing import pack, unpack
from support.results import detection, result

pytestmark = pytest.mark.unit

FIRST = "0123aa7883a7b4b4a27ca0442d00"


@given(st.binary(max_size=20_000))
def test_what_is_packed_comes_back(payload: bytes) -> None:
    assert unpack(pack(payload)) == payload


def test_a_message_takes_a_third_of_its_bytes() -> None:
    one = result(3, [detection(), detection("bolt", 0.61)])
    message = detections_of(
        one, observe(one), device="box", camera_name="Front door", now_us=one.captured_at_us + 7777
    ).encode()
    assert len(message) > 600
    assert len(pack(message)) < len(message) / 3


def test_a_dictionary_is_never_changed() -> None:
    # What was packed with it would come out as something else, and no error would tell.
    digests = {
        number: blake2b(known, digest_size=8).hexdigest()
        for number, known in packing._DICTIONARIES.items()
    }
    assert digests == {1: "fbe048f4664109a4"}


def test_the_dictionary_fits_its_window() -> None:
    assert all(len(known) < 2**12 for known in packing._DICTIONARIES.values())


def test_what_was_packed_by_the_first_version_can_be_read_for_ever() -> None:
    packed = bytes.fromhex(FIRST)
    assert unpack(packed) == b'{"schema_version":1,"event":"start","camera":"front"}'


@pytest.mark.parametrize(
    "packed",
    [b"", b"\x00abc", b"\xffabc", b"\x01", b"\x01garbage", pack(b"x" * 500)[:-3]],
)
def test_bytes_that_are_something_else(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"not packed|damaged|missing"):
        unpack(packed)
