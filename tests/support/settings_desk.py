"""A desk over a real settings file, with the loop that takes its changes up."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nxai_common.bus.memory import MemoryBroker, MemoryBus
from nxai_common.retry import RetryPolicy
from nxai_common.runtime import Stop
from nxai_manager.adapters.deployments_file import DeploymentsFile
from nxai_manager.adapters.history_folder import HistoryFolder
from nxai_manager.adapters.secrets_directory import SecretsDirectory
from nxai_manager.adapters.settings_file import SettingsFile
from nxai_manager.desk import SettingsDesk, View
from nxai_manager.service import Configurator
from support.waiting import wait_for

PASSWORD = 'p@:/#?%"\\ \U0001f511'
"""What breaks URLs, JSON and bad quoting."""
FRONT: dict[str, Any] = {
    "id": "front",
    "source": {"type": "rtsp", "url": "rtsp://192.0.2.17/1"},
    "username": "joe",
    "password": PASSWORD,
    "models": ["m5-nut"],
}
GOOD: dict[str, Any] = {"cameras": [FRONT], "models": [{"id": "m5-nut", "path": "m5_nut.tflite"}]}


@dataclass
class DeskBox:
    """A running desk, and the files that it keeps."""

    folder: Path
    desk: SettingsDesk
    configurator: Configurator
    bus: MemoryBus

    @property
    def file(self) -> Path:
        return self.folder / "settings.json"

    @property
    def history(self) -> Path:
        return self.folder / "settings.json.history"

    def document(self) -> Any:
        return json.loads(self.file.read_text(encoding="utf-8"))

    def edit_by_hand(self, text: str | dict[str, Any]) -> None:
        """Save as an editor does."""
        fresh = self.folder / "settings.json~"
        fresh.write_text(text if isinstance(text, str) else json.dumps(text, indent=2), "utf-8")
        fresh.replace(self.file)

    def take_up(self, text: str | dict[str, Any]) -> None:
        """Save as an editor does, and wait until it is in force and kept, or refused."""
        told = self._told()
        self.edit_by_hand(text)
        wait_for(lambda: self._told() != told, what="the edit to be seen")
        self.settle()

    def settle(self) -> View:
        """Wait until the text in the file is in force and kept, or refused."""
        settled = wait_for(self._settled, what=f"settled: {self.desk.look()}")
        assert settled is not None
        return settled

    def _settled(self) -> View | None:
        view = self.desk.look()
        if view.problems:
            return view
        kept = any(entry.revision == view.revision for entry in self.desk.history())
        return view if view.in_force and kept else None

    def _told(self) -> tuple[float, ...]:
        counters = self.configurator.report().counters
        return counters["settings_applied"], counters["settings_refused"]

    def secret(self, camera: str = "front") -> str:
        """Return the password that capture would use."""
        content = (self.folder / "secrets" / f"camera-{camera}.json").read_text(encoding="utf-8")
        password: str = json.loads(content)["password"]
        return password


@contextlib.contextmanager
def running_desk(folder: Path, settings: dict[str, Any] | str | None = None) -> Iterator[DeskBox]:
    """Run a desk on a folder; `settings` are written first."""
    folder.mkdir(exist_ok=True)
    if settings is not None:
        text = settings if isinstance(settings, str) else json.dumps(settings, indent=2)
        (folder / "settings.json").write_text(text, encoding="utf-8")
    with MemoryBus(MemoryBroker()) as bus:
        path = folder / "settings.json"
        desk = SettingsDesk(SettingsFile(path), HistoryFolder(path))
        configurator = Configurator(
            desk,
            SecretsDirectory(folder / "secrets"),
            DeploymentsFile(path),
            bus,
            lambda: None,
            retry=RetryPolicy(first_s=0.1, longest_s=0.1),
            first_word_s=0,
        )
        stop = Stop()
        thread = threading.Thread(target=configurator.run, args=(stop,))
        thread.start()
        try:
            wait_for(lambda: sum(configurator.report().counters.values()) > 0)
            yield DeskBox(folder, desk, configurator, bus)
        finally:
            stop.set()
            thread.join(30)
