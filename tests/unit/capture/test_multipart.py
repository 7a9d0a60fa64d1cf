import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_capture.core.multipart import LONGEST_HEAD, MultipartPictures
from nxai_common.errors import InvalidPayload

PARTS = [b"first\r\nwith\nlines", b"\xff\xd8--fram\xff\xd9", b"third"]


def stream(*, lengths: bool = True, line: bytes = b"--frame", newline: bytes = b"\r\n") -> bytes:
    whole = b""
    for part in PARTS:
        head = b"Content-Type: image/jpeg" + newline
        if lengths:
            head += b"content-LENGTH :  %d" % len(part) + newline
        whole += line + newline + head + newline + part + newline
    return whole + line + newline


def fed(data: bytes, size: int, boundary: str | None = "frame", limit: int = 1000) -> list[bytes]:
    parser = MultipartPictures(boundary, limit)
    return [part for at in range(0, len(data), size) for part in parser.feed(data[at : at + size])]


@pytest.mark.parametrize("boundary", ["frame", "--frame", '"frame"', None])
@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_parts_come_out_whole_however_they_are_cut(
    boundary: str | None, newline: bytes, lengths: bool, size: int
) -> None:
    assert fed(stream(lengths=lengths, newline=newline), size, boundary) == PARTS


def test_delimiter_without_dashes_is_known_by_the_parameter() -> None:
    assert fed(stream(line=b"frame"), 5, "frame") == PARTS


def test_text_before_the_first_delimiter_is_skipped() -> None:
    assert fed(b"\r\npreamble\r\n\r\n" + stream(), 3) == PARTS


def test_part_without_headers() -> None:
    for newline in (b"\r\n", b"\n"):
        data = b"--b" + newline + newline + b"part" + newline + b"--b" + newline
        assert fed(data, 100, "b") == [b"part"]


def test_length_that_is_too_long_ends_at_the_delimiter() -> None:
    data = b"--b\nContent-Length: 50\n\nabc\n--b\nContent-Length: 40\n\n" + b"d" * 40 + b"\n--b\n"
    assert fed(data, 1000, "b") == [b"abc", b"d" * 40]


def test_length_that_is_too_short_is_not_believed_again() -> None:
    one = b"--b\nContent-Length: 3\n\nabcdef\n"
    assert fed(one * 3 + b"--b\n", 1000, "b") == [b"abc", b"abcdef", b"abcdef"]


def test_length_that_is_no_number_or_zero_is_ignored() -> None:
    data = b"--b\nContent-Length: many\n\nabc\n--b\nContent-Length: 0\n\n\n--b\n"
    assert fed(data, 1000, "b") == [b"abc"]


def test_closing_delimiter_does_not_cast_doubt_on_lengths() -> None:
    data = b"--b\nContent-Length: 3\n\nabc\n--b--\n--b\nContent-Length: 5\n\nab\n-c"
    assert fed(data, 1000, "b") == [b"abc", b"ab\n-c"]


@pytest.mark.parametrize(
    "data",
    [
        b"<html>\n" * LONGEST_HEAD,
        b"\x47" * (LONGEST_HEAD + 1),
        b"\n".join([b"x" * 1000] * 20),
    ],
)
def test_what_is_no_multipart_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidPayload, match="not a multipart"):
        fed(data, 4096)


def test_head_that_does_not_end_is_refused() -> None:
    with pytest.raises(InvalidPayload, match="head"):
        fed(b"--frame\r\n" + b"x" * (LONGEST_HEAD + 1), 4096)


def test_part_larger_than_the_limit_is_refused() -> None:
    with pytest.raises(InvalidPayload, match="a picture of 1001 bytes"):
        fed(b"--frame\r\nContent-Length: 1001\r\n\r\n", 100)
    with pytest.raises(InvalidPayload, match="without the end of a picture"):
        fed(b"--frame\r\n\r\n" + b"x" * (LONGEST_HEAD + 1001), 100)


def test_junk_between_parts_is_bounded() -> None:
    with pytest.raises(InvalidPayload, match="not a multipart"):
        fed(b"--frame\r\nContent-Length: 1\r\n\r\nx" + b"junk\n" * 300, 100)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_nothing_that_comes_breaks_it(noise: bytes, size: int) -> None:
    data = b"--frame\r\n" + noise
    try:
        parts = fed(data, size)
    except InvalidPayload:
        return
    assert sum(map(len, parts)) <= len(data)
