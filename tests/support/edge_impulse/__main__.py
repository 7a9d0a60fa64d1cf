"""Run the emulator by hand: ``python -m support.edge_impulse --project-folder parcels``."""

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from support.edge_impulse.folder import __doc__ as about_folders
from support.edge_impulse.folder import add_folder
from support.edge_impulse.project import Emulator
from support.edge_impulse.server import HERE, running


def main() -> None:
    """Serve until SIGINT or SIGTERM; the first line printed says where, as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m support.edge_impulse",
        description=about_folders,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default=HERE, help="address to serve on")
    parser.add_argument("--port", type=int, default=4800, help="of Studio; 0: any free one")
    parser.add_argument("--ingestion-port", type=int, default=4810, help="0: any free one")
    parser.add_argument(
        "--project-folder", type=Path, action="append", default=[], help="see above; repeatable"
    )
    parser.add_argument(
        "--step-s", type=float, default=2.0, help="how long each line of a job's log takes"
    )
    arguments = parser.parse_args()
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    emulator = Emulator(progress="clock", step_s=arguments.step_s)
    for folder in arguments.project_folder:
        add_folder(emulator, folder)
    with running(
        emulator,
        studio_port=arguments.port,
        ingestion_port=arguments.ingestion_port,
        host=arguments.host,
    ) as urls:
        sys.stdout.write(json.dumps(asdict(urls)) + "\n")
        sys.stdout.flush()
        signal.sigwait(signals)


if __name__ == "__main__":
    main()
