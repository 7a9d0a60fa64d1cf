"""`make run`: a local Mosquitto with accounts, and all services, until Ctrl-C.

supervisor runs the processes (deploy/local/supervisord.conf). This program prepares what they
need, and stands between supervisor and the terminal: supervisor would take the hang-up of a
closed terminal for "start again", and make would report Ctrl-C as a failure.
"""

import argparse
import contextlib
import difflib
import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
MQTT_PORT = 1883
"""Of a URL that names none."""
STATE_OF_A_SIGNALLED_CHILD = (0, -signal.SIGTERM)


def main() -> int:
    """Prepare, start, wait; return the exit code."""
    arguments = parse()
    if arguments.settings and not Path(arguments.settings).is_file():
        sys.exit(no_such_settings(Path(arguments.settings)))
    state = (ROOT / (arguments.run_dir or ".run")).resolve()
    state.mkdir(mode=0o700, parents=True, exist_ok=True)  # settings.json holds passwords
    with only_one(state), own_foreground():
        for stamp in state.glob("started-*"):
            stamp.unlink()  # of an earlier run: not a crash
        environment = environment_of(arguments, state)
        page = f"http://localhost:{environment['NXAI_MANAGER_PORT']}"
        print(
            f"The page: {page} (in a moment; the first who opens it sets a password)\n", flush=True
        )
        if arguments.broker:
            print(which_broker(arguments.broker), flush=True)
        else:
            prepare_broker(state, arguments.port)
            print(how_to_watch(state, arguments.port), flush=True)
        (state / "broker").write_text(environment["NXAI_BROKER"] + "\n")  # for tools/nxai
        return supervise(environment)


def parse() -> argparse.Namespace:
    """Read the command line; the Makefile fills it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--run-dir", default="", help="where all state goes (.run)")
    parser.add_argument("--port", type=int, default=1884, help="port of the local broker")
    parser.add_argument("--page", type=int, default=8081, help="port of the page")
    parser.add_argument("--broker", default="", help="use this broker, start none")
    parser.add_argument("--settings", default="", help="settings.json (default: in the run dir)")
    return parser.parse_args()


def no_such_settings(path: Path) -> str:
    """Say what is wrong with SETTINGS=..., and which file may be meant."""
    near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.json")], n=1)
    hint = f"; did you mean {path.with_name(near[0])}?" if near else ""
    return f"SETTINGS={path}: there is no such file{hint}"


@contextlib.contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Hold the state folder, so that two runs do not mix in it.

    Raises:
        SystemExit: somebody else holds it.
    """
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(
                f"Another `make run` works in {state}. Stop it with Ctrl-C there, or set "
                "NXAI_RUN_DIR to another folder (and PORT to another port)."
            )
        yield


@contextlib.contextmanager
def own_foreground() -> Iterator[None]:
    """Take the terminal, so that Ctrl-C comes here and not to make as well; give it back."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield  # no terminal: whoever started us sends a signal
        return
    before = os.tcgetpgrp(terminal)
    # Changing the foreground from the background stops the process unless this is ignored.
    # Ctrl-Z would stop us but not make, and leave the terminal dead.
    for number in (signal.SIGTTOU, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    try:
        if before == os.getpgrp():
            with contextlib.suppress(PermissionError):  # a session leader has its own group
                os.setpgid(0, 0)
            os.tcsetpgrp(terminal, os.getpgrp())
        yield
    finally:
        with contextlib.suppress(OSError):  # the terminal was closed
            os.tcsetpgrp(terminal, before)
        os.close(terminal)


def environment_of(arguments: argparse.Namespace, state: Path) -> dict[str, str]:
    """Return the variables that supervisord.conf and the services read."""
    mosquitto = shutil.which("mosquitto", path=f"{os.defpath}:/usr/sbin:/usr/local/sbin")
    environment = {
        # What the user's own environment says comes first.
        "NXAI_MANAGER_SETTINGS": str(state / "settings.json"),
        "NXAI_MANAGER_STATE_DIR": str(state),
        "NXAI_MANAGER_SECRETS_DIR": str(state / "secrets"),
        "NXAI_CAPTURE_SECRETS_DIR": str(state / "secrets"),
        "NXAI_MANAGER_OUTPUT_SECRETS_DIR": str(state / "output-secrets"),
        "NXAI_PUBLISHER_SECRETS_DIR": str(state / "output-secrets"),
        "NXAI_INFERENCE_MODELS_DIR": str(ROOT / "models"),
        "NXAI_INFERENCE_CATALOGUE_DIR": str(state / "catalogue"),
        "NXAI_CLOUD_SYNC_CATALOGUE_DIR": str(state / "catalogue"),
        "NXAI_CLOUD_SYNC_STATE_DIR": str(state / "cloud-sync"),
        "NXAI_CLOUD_SYNC_HANDOVER_DIR": str(state / "handover"),
        "NXAI_MANAGER_HANDOVER_DIR": str(state / "handover"),
        "NXAI_MANAGER_PORT": str(arguments.page),
        "NXAI_MANAGER_MQTT_PORT": str(
            (urlsplit(arguments.broker).port or MQTT_PORT) if arguments.broker else arguments.port
        ),
        **os.environ,  # noqa: TID251 - handed on to the services, not read
        "EDGE_ROOT": str(ROOT),
        "EDGE_LOCAL": str(ROOT / "deploy/local"),
        "EDGE_BIN": str(Path(sys.executable).parent),
        "EDGE_STATE": str(state),
        "EDGE_MOSQUITTO": mosquitto or "mosquitto",
        "EDGE_LOCAL_BROKER": "false" if arguments.broker else "true",
        "EDGE_SECRETS": "" if arguments.broker else str(state / "mosquitto/secrets"),
        "NXAI_BROKER": arguments.broker or f"mqtt://127.0.0.1:{arguments.port}",
        "NXAI_RUN_DIR": str(state),
        "PYTHONUNBUFFERED": "1",
    }
    if arguments.settings:
        environment["NXAI_MANAGER_SETTINGS"] = str(Path(arguments.settings).resolve())
    return environment


def prepare_broker(state: Path, port: int) -> None:
    """Write accounts and configuration of the local broker.

    Raises:
        SystemExit: the port is taken, or a tool is missing; says what to do.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            sys.exit(
                f"Port {port} is taken by another program. Take another one, as in\n\n"
                f"    make run PORT={port + 1}\n\nor use a broker that runs already: "
                f"NXAI_BROKER=mqtt://127.0.0.1:{port} NXAI_BROKER_USERNAME=... "
                "NXAI_BROKER_PASSWORD_FILE=... make run"
            )
    user = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(
        [
            ROOT / "deploy/mosquitto/prepare.sh",
            state / "mosquitto",
            f"{port} 127.0.0.1",
            user,
        ],
        check=True,
    )


def which_broker(broker: str) -> str:
    """Return what to say of a broker of the user's own.

    Raises:
        SystemExit: it would be on this machine, and nothing listens there.
    """
    address = urlsplit(broker)
    if address.hostname in ("127.0.0.1", "localhost", "::1"):
        with socket.socket(
            socket.AF_INET6 if address.hostname == "::1" else socket.AF_INET
        ) as probe:
            probe.settimeout(2)
            if probe.connect_ex((address.hostname, address.port or MQTT_PORT)) != 0:
                sys.exit(
                    f"NXAI_BROKER={broker} is set, so a broker of your own is used; but nothing "
                    "listens there. Start it, or let `make run` start one:\n\n"
                    "    unset NXAI_BROKER && make run"
                )
    shown = f"{address.scheme}://{address.hostname}:{address.port or MQTT_PORT}"
    return f"Broker: {shown}, as NXAI_BROKER says; none is started here. Ctrl-C stops all.\n"


def how_to_watch(state: Path, port: int) -> str:
    """Return what to type in another terminal."""
    password = state / "mosquitto/secrets/viewer/password"
    return (
        f"Broker: 127.0.0.1:{port}. Everything on it, from another terminal:\n\n"
        f'    mosquitto_sub -p {port} -u viewer -P "$(cat {password})" '
        "-v -t 'nxai/v1/+/cameras/+/detections'\n\nCtrl-C stops all.\n"
    )


def supervise(environment: dict[str, str]) -> int:
    """Run supervisord until it ends; any wish to stop us becomes its SIGTERM."""
    supervisord = Path(sys.executable).parent / "supervisord"
    configuration = ROOT / "deploy/local/supervisord.conf"
    # A session of its own: only we tell it when to stop, and by a signal it understands.
    with subprocess.Popen(
        [supervisord, "-n", "-u", str(os.getuid()), "-c", configuration],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:

        def stop(_number: int, _frame: FrameType | None) -> None:
            process.send_signal(signal.SIGTERM)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        relay(process)
        code = process.wait()
    return 0 if code in STATE_OF_A_SIGNALLED_CHILD else code


def relay(process: subprocess.Popen[bytes]) -> None:
    """Hand on what all processes say, until the last has ended.

    supervisor itself cannot end while it writes to a terminal that is gone.
    """
    assert process.stdout is not None  # noqa: S101 - we asked for a pipe
    somebody_reads = True
    while said := process.stdout.read1():  # type: ignore[attr-defined]  # it is buffered
        if somebody_reads:
            try:
                sys.stdout.buffer.write(said)
                sys.stdout.buffer.flush()
            except OSError:
                somebody_reads = False
                process.send_signal(signal.SIGTERM)  # nobody is left to press Ctrl-C


if __name__ == "__main__":
    sys.exit(main())
