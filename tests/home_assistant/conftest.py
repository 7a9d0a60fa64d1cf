"""One box and one Home Assistant for all tests here; they follow one another.

They run in `make home-assistant-test` alone: Home Assistant is installed as root.
"""

import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from nxai_common.bus.ports import Subscription
from nxai_common.contracts.deployments import Deployment
from nxai_common.contracts.progress import Progress
from support.edge_impulse import Emulator, fomo, running
from support.guarded_stack import GuardedStack
from support.home import AUTOMATION, BELT, BLUEPRINT, FOMO, OUTPUTS, PARTS, SIDE, Home
from support.home_assistant import HomeAssistant
from support.loop import KEY, SERVICES, Loop
from support.shared import shared

VARIABLE = "NXAI_TEST_HOME_ASSISTANT"
collect_ignore_glob = [] if VARIABLE in os.environ else ["test_*.py"]  # noqa: TID251 - a switch


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("home")
    box = folder / "box"
    box.mkdir()
    emulator = Emulator()
    project = emulator.add_project("Nuts", key=KEY)
    project.add_impulse(
        fomo(("m5_nut",), size=(96, 96), channels="RGB", int8=shared(FOMO).read_bytes())
    )
    with (
        running(emulator) as urls,
        GuardedStack(box, services=SERVICES) as stack,
        closing(stack.bus.subscribe(Subscription(Progress))) as progress,
        closing(stack.bus.subscribe(Subscription(Deployment))) as deployments,
        HomeAssistant(
            folder / "home-assistant",
            automations=AUTOMATION,
            blueprints={"automation/nxai_edge/picture_on_event.yaml": BLUEPRINT.read_text()},
        ) as ha,
    ):
        loop = Loop(stack, emulator, project, urls, progress, deployments)
        found = Home(ha, stack, loop)
        found.write(
            version=1,
            device={"name": "Workshop"},
            cameras=[BELT, SIDE],
            models=[PARTS],
            outputs=OUTPUTS,
            edge_impulse={"updates": {"policy": "offer", "artefact": "int8"}},
        )
        found.labels = {"belt": ("bolt", "nut", "washer"), "side_door_2": ()}
        found.entry = ha.add_broker(
            stack.broker.host,
            stack.broker.port,
            "home-assistant",
            stack.broker.password_file("home-assistant").read_text().strip(),
        )
        stack.wait_running()
        yield found
