"""A real Node-RED (npm), as pinned in tools/node_red, with the flows of deploy/node-red."""

import asyncio
import copy
import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import httpx

from support import npm
from support.broker import free_port
from support.shared import ROOT
from support.waiting import wait_for

FLOWS: Final = ROOT / "deploy" / "node-red"
FILES: Final = tuple(sorted(path.name for path in FLOWS.glob("*.json")))
PINNED: Final = ROOT / "tools" / "node_red"
INSTALL_S: Final = 150
"""280 small packages, 100 MB; a quarter of a minute where the registry is near."""
START_S: Final = 60.0
STOP_S: Final = 15.0
SHOWN: Final = 10_000_000
"""Characters of a message that its debug node shows: whole pictures."""

Node = dict[str, Any]


def flow(name: str) -> list[Node]:
    """Return the nodes of one file."""
    nodes: list[Node] = json.loads((FLOWS / name).read_text())
    return nodes


def all_flows() -> list[Node]:
    """Return the nodes of all files; those that several files have once."""
    return list({node["id"]: node for name in FILES for node in flow(name)}.values())


def tab_of(name: str) -> str:
    """Return the id of the tab of a file."""
    return next(str(node["id"]) for node in flow(name) if node["type"] == "tab")


def node_of(name: str, called: str) -> Node:
    """Return the node of a file that has this name."""
    (found,) = (
        node
        for node in flow(name)
        if node.get("name") == called and node["type"] not in ("tab", "subflow")
    )
    return found


def with_settings(nodes: Sequence[Node], name: str, **values: str | float | bool) -> list[Node]:
    """Return the nodes with other settings of a file's tab, as a person types them."""
    changed = copy.deepcopy(list(nodes))
    tab = next(node for node in changed if node["id"] == tab_of(name))
    for key, value in values.items():
        setting = next(setting for setting in tab["env"] if setting["name"] == key)
        setting["value"] = str(value).lower() if isinstance(value, bool) else str(value)
        if setting["type"] == "jsonata":
            setting["type"] = "str"
    return changed


@dataclass(frozen=True)
class Shown:
    """What a debug node showed in the editor's sidebar."""

    node: str
    path: str
    value: Any


class NodeRed:
    """A Node-RED with deploy/node-red/settings.js, and its sidebar."""

    def __init__(self, folder: Path, port: int = 0, **settings: str) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "node-red.log"
        self._settings = settings
        self._imported = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> str:
        """What it logged so far."""
        return self._log.read_text(errors="replace")

    def __enter__(self) -> Self:
        installed = install()
        self.folder.mkdir(exist_ok=True)
        # Only what a test needs to see is changed.
        settings = self.folder / "settings.js"
        theirs = json.dumps(str(FLOWS / "settings.js"))
        settings.write_text(
            f"module.exports = {{ ...require({theirs}), debugMaxLength: {SHOWN} }};\n"
        )
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("NXAI_")}  # noqa: TID251 - a child's PATH
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["node", installed / "node_modules/node-red/red.js", "--settings", settings],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={
                    **inherited,
                    "NODE_RED_HOME": str(self.folder / "home"),
                    "NODE_RED_ADDRESS": "127.0.0.1",
                    "NODE_RED_PORT": str(self.port),
                    **self._settings,
                },
            )
        try:
            self.http = httpx.Client(base_url=self.url, timeout=START_S)
            wait_for(self._started, START_S, "Node-RED has started its flows")
            self.sidebar = Sidebar(self.port)
            self.sidebar.open()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.sidebar.close()
        self._end()

    def nodes(self) -> list[Node]:
        """Return the flows that it runs."""
        answer = self.http.get("/flows")
        assert answer.status_code == 200, answer.text
        nodes: list[Node] = answer.json()
        return nodes

    def deploy(self, nodes: Sequence[Node]) -> None:
        """Import these flows in place of all others; what did not change goes on running."""
        before = self.said.count("Started ")
        # As the editor does: credentials go to the server once, and never come back.
        known = [{k: v for k, v in node.items() if k != "credentials"} for node in nodes]
        answer = self.http.post(
            "/flows",
            json=known if self._imported else list(nodes),
            headers={"Node-RED-Deployment-Type": "flows"},
        )
        self._imported = True
        assert answer.status_code == 204, answer.text
        wait_for(lambda: self.said.count("Started ") > before, START_S, "the flows are started")

    def press(self, button: Node) -> None:
        """Press the button of an inject node."""
        answer = self.http.post(f"/inject/{button['id']}")
        assert answer.status_code == 200, answer.text

    def shown(self, name: str, called: str) -> list[Any]:
        """Return all that a debug node of a file showed so far."""
        wanted = node_of(name, called)["id"]
        return [shown.value for shown in self.sidebar.shown() if shown.node == wanted]

    def _started(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"Node-RED ended:\n{self.said[-4000:]}"
        return "Started flows" in self.said

    def _end(self) -> None:
        assert self._process is not None
        self.http.close()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Sidebar:
    """The debug sidebar of the editor, read over the WebSocket that the editor uses."""

    def __init__(self, port: int) -> None:
        self._url = f"ws://127.0.0.1:{port}/comms"
        self._shown: list[Shown] = []
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._listen(),), name="sidebar"
        )

    def open(self) -> None:
        """Return once it listens."""
        self._thread.start()
        assert self._ready.wait(START_S), "Node-RED's editor does not answer"

    def close(self) -> None:
        """Stop listening."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()
        self._loop.close()

    def shown(self) -> list[Shown]:
        """Return all that was shown so far."""
        with self._lock:
            return list(self._shown)

    async def _listen(self) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(self._url, max_msg_size=0) as socket,
        ):
            await socket.send_json({"subscribe": "debug"})
            self._ready.set()
            closed = asyncio.create_task(self._closing.wait())
            while not closed.done():
                coming = asyncio.create_task(socket.receive())
                await asyncio.wait({coming, closed}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    break
                if coming.result().type is not aiohttp.WSMsgType.TEXT:
                    break
                self._take(json.loads(coming.result().data))

    def _take(self, messages: Any) -> None:
        for message in messages if isinstance(messages, list) else [messages]:
            if message.get("topic") == "debug":
                data = message["data"]
                shown = Shown(data["id"], data.get("path", ""), _value(data))
                with self._lock:
                    self._shown.append(shown)


def _value(data: Mapping[str, Any]) -> Any:
    kind, text = str(data.get("format", "")), str(data.get("msg", ""))
    return json.loads(text) if kind.startswith(("Object", "array", "error")) else text


def install() -> Path:
    """Return the folder of Node-RED; installs it where it is not, or is another version."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")  # noqa: TID251 - of tests
    folder = Path(home) / "nxai-edge" / "node-red"
    npm.install(PINNED, folder, INSTALL_S)
    return folder
