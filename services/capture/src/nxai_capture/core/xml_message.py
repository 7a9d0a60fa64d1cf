"""XML from strangers: bounded, and without those parts of XML that can do harm."""

import xml.parsers.expat
from typing import Final
from xml.etree.ElementTree import Element, TreeBuilder

from nxai_common.errors import InvalidPayload

MOST_BYTES: Final = 1_000_000
"""A camera with 32 profiles answers with 100 kB."""
DEEPEST: Final = 64
MOST_ELEMENTS: Final = 50_000
"""A megabyte of `<a/>` would be 250,000, of 200 bytes each."""


def parse_xml(data: bytes) -> Element:
    """Return the root of a document, all names without their namespaces.

    Cameras differ in namespaces (versions of SOAP and of WS-Addressing), not in the names within.
    No document type is allowed, and with it no entity that could grow or lead elsewhere.

    Raises:
        InvalidPayload: no XML, or larger, deeper or of more elements than is sensible.
    """
    if len(data) > MOST_BYTES:
        raise InvalidPayload(f"{len(data)} bytes of XML; at most {MOST_BYTES} are read")
    builder = TreeBuilder()
    depth = elements = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1
        if depth > DEEPEST or elements > MOST_ELEMENTS:
            raise InvalidPayload(f"XML deeper than {DEEPEST} or of more than {MOST_ELEMENTS} parts")
        builder.start(_local(name), {_local(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_local(name))

    def refuse(*_: object) -> None:
        raise InvalidPayload("XML with a document type")

    parser = xml.parsers.expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (xml.parsers.expat.ExpatError, ValueError, LookupError) as error:
        raise InvalidPayload(f"no XML: {error}") from None
    return builder.close()


def text_at(element: Element, path: str) -> str:
    """Return the text at a path below an element, without white space around; empty: none."""
    return (element.findtext(path) or "").strip()


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
