"""What is asked of all cameras at once, and what they answer."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nxai_capture.core.ws_discovery import LONGEST_TEXT, NetworkCamera, cameras_in, probe
from nxai_common.errors import InvalidPayload
from support.onvif_device import SOAP, probe_match

HERE = "http://192.0.2.17/onvif/device_service"


def test_a_camera_is_what_it_says_of_itself() -> None:
    assert cameras_in(probe_match(HERE), "192.0.2.17") == [
        NetworkCamera(HERE, "192.0.2.17", "Front door", "C-17", "garden")
    ]


@pytest.mark.parametrize(
    ("addresses", "sender", "expected"),
    [
        (f"http://198.51.100.1/o {HERE}", "192.0.2.17", HERE),
        (f"http://[fe80::1]/o {HERE}", "203.0.113.1", HERE),
        ("http://[fe80::1]:81/o", "192.0.2.17", "http://[fe80::1]:81/o"),
        ("https://192.0.2.17:8443/o", "192.0.2.17", "https://192.0.2.17:8443/o"),
    ],
)
def test_of_several_addresses_the_one_that_is_reached_is_taken(
    addresses: str, sender: str, expected: str
) -> None:
    (camera,) = cameras_in(probe_match(addresses), sender)
    assert camera.address == expected


@pytest.mark.parametrize(
    "addresses",
    [
        "",
        "ftp://192.0.2.17/o",
        "http://user:secret@192.0.2.17/o",
        "http://[broken/o",
        "http:///o",
        f"http://192.0.2.17/{'o' * 500}",
        "file:///etc/passwd",
    ],
)
def test_a_camera_without_an_address_to_use_is_left_out(addresses: str) -> None:
    assert cameras_in(probe_match(addresses), "192.0.2.17") == []


def test_what_is_no_camera_is_left_out() -> None:
    printer = probe_match(HERE, types="wsdp:Device wprt:PrintDeviceType", scopes=())
    assert cameras_in(printer, "192.0.2.17") == []
    by_scope = probe_match(HERE, types="tds:Device", scopes=("onvif://www.onvif.org/type/ptz",))
    (camera,) = cameras_in(by_scope, "192.0.2.17")
    assert (camera.name, camera.hardware, camera.location) == ("", "", "")


def test_texts_are_joined_and_bounded() -> None:
    places = [f"onvif://www.onvif.org/location/place%20{number}" for number in range(99)]
    (camera,) = cameras_in(probe_match(HERE, scopes=places), "192.0.2.17")
    assert camera.location.startswith("place 0, place 1, ")
    assert len(camera.location) == LONGEST_TEXT


def test_what_is_no_xml_is_refused() -> None:
    with pytest.raises(InvalidPayload):
        cameras_in(b"hello", "192.0.2.17")


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="<&"), max_size=80)
)
def test_no_text_in_an_answer_raises(text: str) -> None:
    for answer in (probe_match(text), probe_match(HERE, scopes=(text,), types=text)):
        cameras_in(answer, "192.0.2.17")


@pytest.mark.parametrize("only_cameras", [True, False])
def test_the_question_is_one_of_ws_discovery(only_cameras: bool) -> None:
    question = ET.fromstring(  # noqa: S314 - our own text
        probe("8b5d1fd8", only_cameras=only_cameras)
    )
    assert question.tag == f"{{{SOAP}}}Envelope"
    assert question.findtext(".//{*}MessageID") == "urn:uuid:8b5d1fd8"
    assert question.findtext(".//{*}Types") == (
        "dn:NetworkVideoTransmitter" if only_cameras else None
    )
