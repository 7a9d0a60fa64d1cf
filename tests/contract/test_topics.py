"""Topics: fixed depth, validated levels, built and taken apart in one place."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from nxai_common.contracts import topics
from nxai_common.contracts.frames import Frame
from nxai_common.contracts.topics import LEVEL_PATTERN, ROOT, Level, TopicTemplate, check_level

TEMPLATES = {
    name: value for name, value in vars(topics).items() if isinstance(value, TopicTemplate)
}
levels = st.from_regex(LEVEL_PATTERN.replace("$", r"\Z"))
templates = st.sampled_from(sorted(TEMPLATES.values(), key=lambda t: t.text))


def test_every_kind_of_topic_has_one_depth() -> None:
    depths = {name: len(template.text.split("/")) for name, template in TEMPLATES.items()}
    assert depths == {
        "FRAME": 4,
        "RESULT": 3,
        "SAMPLE": 3,
        "PREVIEW": 3,
        "PICTURE": 3,
        "OUTPUT": 3,
        "DETECTIONS": 3,
        "STATE": 3,
        "EVENT": 3,
        "ALARM": 3,
        "SNAPSHOT": 3,
        "TEST": 3,
        "STATUS": 3,
        "CONFIGURATION": 3,
        "COMMAND": 4,
        "PROGRESS": 3,
        "MODEL": 2,
        "PROCESSOR": 3,
        "WORK": 3,
        "DONE": 3,
        "DEPLOYMENTS": 3,
        "DEPLOYMENT": 2,
        "HOME_BOX_AVAILABILITY": 3,
        "HOME_BOX_ANNOUNCED": 3,
        "HOME_BOX_STATE": 3,
        "HOME_BOX_SET": 4,
        "HOME_CAMERA_AVAILABILITY": 3,
        "HOME_CAMERA_STATE": 3,
        "HOME_CAMERA_EVENT": 3,
        "HOME_CAMERA_PICTURE": 3,
        "HOME_CAMERA_SET": 4,
    }  # fmt: skip - one line per depth would not read better


def test_templates_do_not_overlap() -> None:
    for template in TEMPLATES.values():
        topic = template.build("box", **dict.fromkeys(template.names, "front"))
        assert [t for t in TEMPLATES.values() if t.parse(topic) is not None] == [template]


@given(template=templates, device=levels, data=st.data())
def test_parse_gives_back_what_build_was_given(
    template: TopicTemplate, device: str, data: st.DataObject
) -> None:
    wanted = {name: data.draw(levels) for name in template.names}
    topic = template.build(device, **wanted)
    assert template.parse(topic) == {"device": device, **wanted}
    assert topic.count("/") == f"{ROOT}/x/{template.text}".count("/")


@given(template=templates, device=levels, data=st.data())
def test_filter_matches_exactly_the_topics_with_its_levels(
    template: TopicTemplate, device: str, data: st.DataObject
) -> None:
    fixed = {name for name in template.names if data.draw(st.booleans())}
    wanted = {name: data.draw(levels) for name in template.names}
    pattern = template.filter(device, **{name: wanted[name] for name in fixed})
    matcher = re.compile(re.escape(pattern).replace(r"\+", "[^/]+"))
    assert matcher.fullmatch(template.build(device, **wanted))
    assert pattern.count("+") == len(template.names) - len(fixed)
    for name in fixed:
        other = wanted | {name: wanted[name][:-1] + ("x" if wanted[name][-1] != "x" else "y")}
        assert not matcher.fullmatch(template.build(device, **other))


@pytest.mark.parametrize(
    "value",
    ["", "Front", "front door", "a/b", "+", "#", "a+", "-a", "_a", "ä", "a\n", "a\0", "x" * 65],
)
def test_value_that_is_no_level_is_refused_and_named(value: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"camera {value!r} cannot be used in a topic")):
        check_level(value, "camera")
    with pytest.raises(ValueError, match="camera"):
        topics.STATE.build("box", camera=value)
    with pytest.raises(ValueError, match="device"):
        topics.STATE.build(value, camera="front")
    with pytest.raises(ValueError, match="camera"):
        topics.STATE.filter("box", camera=value)
    with pytest.raises(ValueError, match="device"):
        topics.STATE.filter(value)
    assert topics.STATE.parse(f"{ROOT}/box/cameras/{value}/state") is None
    with pytest.raises(ValidationError):
        TypeAdapter(Level).validate_python(value)


@given(value=st.text(max_size=70))
def test_the_two_checks_of_a_level_agree(value: str) -> None:
    try:
        check_level(value, "camera")
    except ValueError:
        with pytest.raises(ValidationError):
            TypeAdapter(Level).validate_python(value)
    else:
        assert TypeAdapter(Level).validate_python(value) == value


def test_filter_refuses_a_level_the_template_does_not_have() -> None:
    with pytest.raises(ValueError, match=r"has no level 'camra'; it has \('camera', 'input'\)"):
        topics.FRAME.filter("box", camra="front")


@pytest.mark.parametrize(
    "topic",
    [
        "nxai/v2/box/cameras/front/state",
        "nxai/v1/box/cameras/front/state/more",
        "nxai/v1/box/cameras/front",
        "nxai/v1/box/services/front/state",
        "",
    ],
)
def test_topic_of_another_shape_is_not_ours(topic: str) -> None:
    assert topics.STATE.parse(topic) is None


def test_message_class_filters_by_its_template() -> None:
    assert Frame.filter("box", camera="front") == "nxai/v1/box/cameras/front/frame/+"


def test_discovery_messages_of_this_box_are_told_from_others() -> None:
    topic = topics.discovery_topic("homeassistant", "device", "box", "_box")
    assert topic == "homeassistant/device/nxai-box/_box/config"
    assert topics.discovery_filter("homeassistant", "box") == "homeassistant/+/nxai-box/+/config"
    assert topics.is_discovery(topic, "homeassistant", "box")
    assert not topics.is_discovery(topic, "homeassistant", "box-2")
    assert not topics.is_discovery(topic, "other", "box")
    assert not topics.is_discovery(f"{topic}/more", "homeassistant", "box")
    assert not topics.is_discovery("homeassistant/status", "homeassistant", "box")
    deep = topics.discovery_topic("home/assistant", "sensor", "box", "front-Count")
    assert topics.is_discovery(deep, "home/assistant", "box")
    with pytest.raises(ValueError, match="device"):
        topics.discovery_topic("homeassistant", "device", "box/+", "_box")


def test_home_assistant_is_heard_whatever_the_prefix() -> None:
    assert topics.births("homeassistant") == ("homeassistant/status",)
    assert topics.births("ha/home") == ("ha/home/status", "homeassistant/status")
