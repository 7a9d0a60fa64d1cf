"""The flows of deploy/node-red keep to the contracts, without a Node-RED."""

import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import pytest

from nxai_common.contracts import commands as c
from nxai_common.contracts import topics
from support.node_red import FILES, FLOWS, Node, all_flows, flow, node_of
from support.shared import ROOT

CORE = {
    "tab",
    "subflow",
    "comment",
    "catch",
    "debug",
    "delay",
    "file",
    "function",
    "http in",
    "http request",
    "http response",
    "inject",
    "mqtt in",
    "mqtt out",
    "mqtt-broker",
    "switch",
}
"""Node types of a plain Node-RED that are used here."""
REPLIES = re.compile(r"nxai-replies/[a-z0-9-]+")
SAMPLE = {
    "id": "a-1",
    "camera": "demo",
    "predictions": [{"label": "nut", "confidence": 0.7, "x": 1, "y": 2, "width": 3, "height": 4}],
    "scores": [],
}
HARNESS = """
const { func, env, msg } = JSON.parse(require("node:fs").readFileSync(0));
const names = ["msg", "env", "RED", "node", "waiting", "setTimeout"];
const values = [msg, { get: (name) => env[name] ?? "" }, { util: { generateId: () => "0123" } },
    { error: (text) => { throw new Error(text); } }, new Map(), () => 0];
process.stdout.write(JSON.stringify(new Function(...names, func)(...values)));
"""
"""Runs the code of a function node once, with what Node-RED gives it."""

files = pytest.mark.parametrize("name", FILES)


@files
def test_a_file_is_one_tab_that_explains_itself_with_one_broker(name: str) -> None:
    nodes = flow(name)
    of: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        of[re.sub(":.*", "", node["type"])].append(node)
    assert set(of) <= CORE
    (tab,) = of["tab"]
    (comment,) = of["comment"]
    assert tab["info"]
    assert len(re.findall(r"[.](?: |$)", comment["name"].replace(" \\n ", " "))) == 2
    brokers = [node["id"] for node in of["mqtt-broker"]]
    assert {n["z"] for n in nodes if "z" in n} <= {tab["id"], *(s["id"] for s in of["subflow"])}
    for node in of["mqtt in"] + of["mqtt out"]:
        assert [node["broker"]] == brokers
    assert bool(of["mqtt in"]) == bool(brokers)
    for node in nodes:
        for target in chain.from_iterable(node.get("wires", [])):
            assert any(other["id"] == target and other["z"] == node["z"] for other in nodes)
        assert node.get("outputs", len(node.get("wires", []))) == len(node.get("wires", []))


def test_ids_are_unique_but_for_what_all_share() -> None:
    found: dict[str, list[tuple[str, Node]]] = defaultdict(list)
    for name in FILES:
        assert len({node["id"] for node in flow(name)}) == len(flow(name))
        for node in flow(name):
            found[node["id"]].append((name, node))
    subflows = {node["id"] for node in all_flows() if node["type"] == "subflow"}
    for uses in found.values():
        first = uses[0][1]
        assert all(node == first for _, node in uses), "what has one id is one node"
        if len(uses) > 1:
            assert first["type"] in ("mqtt-broker", "subflow") or first["z"] in subflows
    assert len([node for node in all_flows() if node["type"] == "mqtt-broker"]) == 1
    assert len(subflows) == 1


def test_no_password_no_host_and_no_path_of_a_machine_is_in_a_file() -> None:
    (broker,) = (node for node in all_flows() if node["type"] == "mqtt-broker")
    variables = [broker["broker"], broker["port"], *broker["credentials"].values()]
    assert variables == [f"${{NXAI_MQTT_{name}}}" for name in ("HOST", "PORT", "USER", "PASSWORD")]
    assert broker["protocolVersion"] == "5"
    for name in FILES:
        text = (FLOWS / name).read_text()
        assert not re.search(r'"(/(home|root|tmp|work|data|usr|var|Users)\b|[A-Z]:\\\\)', text)
        for node in flow(name):
            assert node["type"] == "mqtt-broker" or "credentials" not in node
            for setting in node.get("env", []):
                assert setting["name"] != "TOKEN" or setting["value"] == ""


def topics_read() -> Iterator[tuple[str, str]]:
    for name in FILES:
        for node in flow(name):
            if node["type"] == "mqtt in":
                yield name, node["topic"]


def test_every_topic_is_of_the_contract_and_operator_may_read_it() -> None:
    templates = [
        value for value in vars(topics).values() if isinstance(value, topics.TopicTemplate)
    ]
    found = list(topics_read())
    assert len(found) >= len(FILES)
    for name, topic in found:
        one = topic.replace("+", "x")
        assert REPLIES.fullmatch(topic) or any(t.parse(one) is not None for t in templates), name
        assert allowed("read", one), f"{name}: {topic}"


def allowed(way: str, topic: str) -> bool:
    """Tell whether account `operator` may read or write a topic."""
    text = (ROOT / "deploy/mosquitto/acl").read_text()
    (mine,) = re.findall(r"^user operator\n(.*?)(?=^user |\Z)", text, re.MULTILINE | re.DOTALL)
    rules = re.findall(rf"^topic (?:readwrite|{way}) (\S+)$", mine, re.MULTILINE)
    return any(re.fullmatch(rule.replace("+", "[^/]+"), topic) for rule in rules if "$" not in rule)


def run(node: Node, env: dict[str, Any], msg: dict[str, Any]) -> Any:
    """Return what a function node makes of a message."""
    done = subprocess.run(
        ["node", "-e", HARNESS],
        input=json.dumps({"func": node["func"], "env": env, "msg": msg}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def settings_of(name: str) -> dict[str, Any]:
    """Return the settings of a file's tab as its nodes see them."""
    (tab,) = (node for node in flow(name) if node["type"] == "tab")
    read: dict[str, Callable[[str], Any]] = {
        "str": str,
        "num": float,
        "bool": lambda v: v == "true",
        "jsonata": lambda _: "box",
    }
    return {setting["name"]: read[setting["type"]](setting["value"]) for setting in tab["env"]}


CHANGE, REVIEW = "change-threshold.json", "review-and-upload-samples.json"
COMMANDS: dict[tuple[str, str], tuple[dict[str, Any], type[c.Command]]] = {
    (CHANGE, "Command"): ({}, c.AdjustCamera),
    (REVIEW, "List"): ({}, c.ListSamples),
    (REVIEW, "Choose"): ({"payload": {"samples": [SAMPLE]}}, c.ReviewSamples),
    (REVIEW, "Upload"): ({"samples": ["a-1"]}, c.UploadSamples),
}
"""Of each node that makes a command: the message that it is given, and the command."""


def test_all_nodes_that_make_commands_are_known_here() -> None:
    making = {
        (name, node["name"])
        for name in FILES
        for node in flow(name)
        if node["type"] == "function" and re.search(r"\bservice: \"", node["func"])
    }
    assert making == set(COMMANDS)


@pytest.mark.parametrize(("name", "called"), COMMANDS)
def test_a_command_is_one_of_the_contract_and_operator_may_send_it(name: str, called: str) -> None:
    given, kind = COMMANDS[name, called]
    env = settings_of(name)
    made = run(node_of(name, called), env, given)
    payload = (made[0] if isinstance(made, list) else made)["payload"]
    assert set(payload) <= set(kind.model_fields), "a key that nobody would read"

    (ask,) = (n for n in flow(name) if n.get("name") == "Ask, and wait for the answer")
    _, sent = run(ask, {**env, "ANSWER_S": 15}, {"payload": payload})
    command = kind.decode(sent["topic"], json.dumps(sent["payload"]).encode())
    assert command.topic("box") == sent["topic"]
    assert REPLIES.fullmatch(sent["responseTopic"])
    assert sent["responseTopic"] in {topic for file, topic in topics_read() if file == name}
    assert allowed("write", sent["topic"])


def test_the_readme_names_every_flow() -> None:
    for text in ((FLOWS / "README.md").read_text(), (ROOT / "docs/guides/node-red.md").read_text()):
        assert [name for name in FILES if name not in text] == []
