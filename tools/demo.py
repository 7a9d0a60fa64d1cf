"""`make demo`: the whole loop in a few minutes, with the demo camera and without an account.

A local stand-in for Edge Impulse (tests/support/edge_impulse) has a project with a model that was
trained on too few pictures. The box imports it, collects the pictures it is unsure of, sends
them up, has the model trained again, tries the new version beside the old one, and swaps it in.
Each step is a command that you could have typed.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import onnx
from onnx import numpy_helper

ROOT: Final = Path(__file__).resolve().parent.parent
MODEL: Final = ROOT / "models/demo-parts"
KEY: Final = "ei_demo"
PICTURES: Final = 6
"""Enough to see them come and go."""
UNSURE: Final = 0.35
"""What the last layer of the early model is multiplied with: it finds most parts and is sure of
few, as a network is that has seen too little."""
MARK: Final = "made-by-the-demo"
PATIENCE_S: Final = 180.0


def main() -> int:
    """Walk the loop; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run-dir", default=".run/demo", help="where all state goes")
    parser.add_argument("--port", type=int, default=1894, help="port of the local broker")
    options = parser.parse_args()
    state = (ROOT / options.run_dir).resolve()
    begin_anew(state)
    began = time.monotonic()
    try:
        with edge_impulse(state) as urls, box(state, options.port) as environment:
            walk(Person(environment), urls, began)
    except DemoFailed as error:
        print(f"\n{error}\nThe box's log: {state / 'box.log'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def begin_anew(state: Path) -> None:
    """Empty the folder of an earlier demo; leave any other alone.

    Raises:
        SystemExit: the folder holds something else.
    """
    if state.is_dir() and any(state.iterdir()) and not (state / MARK).exists():
        sys.exit(f"{state} holds something else than a demo; name another folder with --run-dir")
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    (state / MARK).touch()


class DemoFailed(Exception):  # noqa: N818 - what happened
    """A step did not do what it should."""


def walk(person: "Person", urls: dict[str, str], began: float) -> None:
    """Take the steps, one after the other."""
    person.tell("Link the project. The API key goes to a file that only cloud-sync reads.")
    person.type(
        *("link", "--key-file", "-", "--studio", urls["studio"]),
        *("--ingestion", urls["ingestion"]),
        text=f"{KEY}\n",
    )
    person.tell("Import its model: fetched, tested by the inference service, timed.")
    person.type("pull")
    person.type("models")
    model = person.models()["versions"][0]["model"]
    first = person.models()["versions"][0]["digest"]
    person.tell("Let it run on the demo camera.")
    person.type("deploy", model, "--camera", "demo", "--version", first[:12])
    person.wait("the model runs", lambda: person.deployed(model)["phase"] == "running")
    person.tell("Pictures in which it was unsure are collected. The most valuable ones first:")
    person.wait("pictures are collected", lambda: person.samples("new") >= PICTURES)
    person.type("samples", "--by-value", "--limit", str(PICTURES))
    person.tell("A person looks through them; here all are good.")
    person.type("approve", "--all")
    person.tell("Send them to Edge Impulse.")
    person.type("upload")
    person.tell("Train again. (Edge Impulse bills compute minutes, so it asks; here we say yes.)")
    person.type("retrain", "--yes")
    person.tell("The new version is noticed, imported, and tried beside the old one on the same")
    person.tell('live frames, all by itself (updates.policy is "shadow").', begin=False)
    person.wait("the trial has seen enough", lambda: person.deployed(model)["progress"] == 1)
    person.type("models")
    person.tell("Put it in force. No frame is lost; a model that fails would be rolled back.")
    person.type("promote", model)
    person.wait(
        "the new version runs",
        lambda: person.deployed(model)["phase"] in ("running", "probation"),
    )
    person.type("models")
    print(f"\nDone in {time.monotonic() - began:.0f} s. With a project of your own:")
    print("    make run, and then   tools/nxai cloud-sync link   (docs/guides/edge-impulse.md)")


class Person:
    """Types commands and reads the answers."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._step = 0

    def tell(self, text: str, *, begin: bool = True) -> None:
        """Say what comes next."""
        self._step += begin
        print(f"\n{self._step}. {text}" if begin else f"   {text}", flush=True)

    def type(self, *words: str, text: str | None = None) -> None:
        """Type a command; show it and what it says.

        Raises:
            DemoFailed: it did not succeed.
        """
        print(f"   $ nxai-cloud-sync {' '.join(words)}", flush=True)
        with subprocess.Popen(
            [Path(sys.executable).parent / "nxai-cloud-sync", *words],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdin is not None  # noqa: S101 - we asked for a pipe
            assert process.stdout is not None  # noqa: S101 - as above
            process.stdin.write(text or "")
            process.stdin.close()
            for line in process.stdout:
                print(f"     {line.rstrip()}", flush=True)
        if process.returncode:
            raise DemoFailed(f"`nxai-cloud-sync {words[0]}` ended with {process.returncode}")

    def ask(self, *words: str) -> Any:  # noqa: ANN401 - whatever it answers
        """Return the JSON that a command prints."""
        run = subprocess.run(
            [Path(sys.executable).parent / "nxai-cloud-sync", *words, "--json"],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise DemoFailed(run.stderr.strip())
        return json.loads(run.stdout)

    def models(self) -> Any:  # noqa: ANN401 - as above
        """Return the catalogue."""
        return self.ask("models")

    def deployed(self, model: str) -> Any:  # noqa: ANN401 - as above
        """Return how a deployed model stands."""
        return next(entry for entry in self.models()["deployments"] if entry["model"] == model)

    def samples(self, state: str) -> int:
        """Return how many pictures are in a state."""
        return int(self.ask("samples", "--state", state, "--limit", "1")["total"])

    def wait(self, what: str, come: Callable[[], bool]) -> None:
        """Wait until something is so.

        Raises:
            DemoFailed: it took too long.
        """
        until = time.monotonic() + PATIENCE_S
        while not come():
            if time.monotonic() > until:
                raise DemoFailed(f"waited {PATIENCE_S:.0f} s in vain until {what}")
            time.sleep(1)


@contextlib.contextmanager
def edge_impulse(state: Path) -> Iterator[dict[str, str]]:
    """Run the stand-in with one project; yield its URLs."""
    folder = state / "edge-impulse"
    describe_project(folder)
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "support.edge_impulse"),
            *("--port", "0", "--ingestion-port", "0", "--step-s", "1"),
            *("--project-folder", folder),
        ],
        cwd=ROOT / "tests",
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - we asked for a pipe
            line = process.stdout.readline()
            if not line:
                raise DemoFailed("the stand-in for Edge Impulse did not start")
            yield json.loads(line)
        finally:
            process.terminate()


def describe_project(folder: Path) -> None:
    """Write what the stand-in shall have: an early model, and the good one for the retraining."""
    about = json.loads((MODEL / "manifest.json").read_text())
    (folder / "next").mkdir(parents=True, exist_ok=True)
    good = onnx.load(MODEL / "model.onnx")
    onnx.save(good, folder / "next/model.onnx")
    last = next(node for node in reversed(good.graph.node) if node.op_type == "Conv")
    for weights in good.graph.initializer:
        if weights.name in last.input:
            values = numpy_helper.to_array(weights) * UNSURE
            weights.CopyFrom(numpy_helper.from_array(values.astype("float32"), weights.name))
    onnx.save(good, folder / "model.onnx")
    project = {
        "name": "Demo parts",
        "id": 4242,
        "key": KEY,
        "labels": about["labels"],
        "width": about["width"],
        "height": about["height"],
        "channels": "RGB",
        "resize_mode": about["resize_mode"],
    }
    (folder / "project.json").write_text(json.dumps(project, indent=2))


@contextlib.contextmanager
def box(state: Path, port: int) -> Iterator[dict[str, str]]:
    """Run `make run` aside; yield the environment for the command line."""
    settings = state / "settings.json"
    settings.write_text(
        json.dumps(
            {
                "version": 1,
                "cameras": [
                    {
                        "id": "demo",
                        "name": "Demo belt",
                        "source": {"type": "demo"},
                        "collect": {
                            "enabled": True,
                            "strategies": [{"strategy": "least-confidence", "above": 0.3}],
                            "min_gap_s": 1,
                            "quotas": {"per_minute": 30},
                        },
                    }
                ],
                "edge_impulse": {
                    "updates": {"policy": "shadow"},
                    "shadow": {"frames": 150, "minutes": 2},
                    "rollback": {"minutes": 1},
                },
            },
            indent=2,
        )
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NXAI_")}  # noqa: TID251 - handed on
    with (state / "box.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, ROOT / "tools/run.py", "--run-dir", state),
                *("--port", str(port), "--settings", settings),
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield environment | {
            "NXAI_BROKER": f"mqtt://127.0.0.1:{port}",
            "NXAI_BROKER_USERNAME": "cloud-sync",
            "NXAI_BROKER_PASSWORD_FILE": str(state / "mosquitto/secrets/cloud-sync/password"),
            "NXAI_CLOUD_SYNC_STATE_DIR": str(state / "cloud-sync"),
            "NXAI_CLOUD_SYNC_CATALOGUE_DIR": str(state / "catalogue"),
        }
        if process.poll() is not None:
            raise DemoFailed("the box ended")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
