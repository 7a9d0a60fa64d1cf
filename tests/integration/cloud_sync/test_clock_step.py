"""The wall clock is set while pictures are collected: a box without a battery hears the time late.

libfaketime moves the clock of the service's process alone; its monotonic clock goes on as it is.
"""

import json
import os
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from nxai_common.contracts import commands as c
from nxai_common.contracts.collecting import CollectPolicy, Quotas, SampleLimits
from nxai_common.contracts.configuration import CloudSyncCamera, CloudSyncConfiguration
from nxai_common.contracts.status import Status
from support.samples import message
from support.stack import Stack
from support.waiting import wait_for

pytestmark = pytest.mark.integration

LIBRARY = "libfaketimeMT.so.1"
PLACES = ("/usr/lib/*-linux-gnu/faketime", "/usr/lib/faketime", "/usr/lib64/faketime")
POLICY = CollectPolicy(
    enabled=True,
    min_gap_s=0,
    near_duplicate_bits=0,
    quotas=Quotas(per_minute=0, per_hour=0, per_day=0, label_per_day=0),
)
EACH = 4


def library() -> Path:
    found = [path / LIBRARY for place in PLACES for path in Path("/").glob(place[1:])]
    there = [path for path in found if path.is_file()]
    if not there:
        pytest.fail(f"{LIBRARY} is not installed: apt-get install faketime")
    return there[0]


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """The file that says what time it is in the service."""
    file = tmp_path / "clock"
    file.write_text("+0")
    return file


@pytest.fixture
def environment(clock: Path) -> dict[str, str]:
    return {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def test_no_picture_is_lost_doubled_or_aged_when_the_clock_is_set(
    tmp_path: Path, clock: Path, environment: dict[str, str]
) -> None:
    with Stack(tmp_path / "box", ("cloud-sync",), environment=environment) as stack:
        stack.wait_running()
        stack.bus.publish(
            CloudSyncConfiguration(
                revision="1",
                cameras=(CloudSyncCamera(id="front", collect=POLICY),),
                limits=SampleLimits(keep_days=1),
            )
        )
        wait_for(lambda: stack.status("cloud-sync").configuration_revision == "1", 30)
        sent = 0
        for days in (0, 400, -30, 2):
            clock.write_text(f"{days * 86_400:+d}")
            here = datetime.fromtimestamp(time.time()).astimezone()
            wait_for(
                lambda: abs(told_at(stack) - here - timedelta(days=days)) < timedelta(hours=1),  # noqa: B023 - called before the next round
                30,
                f"the service's clock is {days} days off",
            )
            captured_us = (time.time_ns() // 1000) + days * 86_400_000_000
            for _ in range(EACH):
                sent += 1
                stack.bus.publish(message(sent, "nut", captured_at_us=captured_us + sent * 1000))
            wait_for(lambda: len(kept(stack)) >= sent, 30, f"{sent} pictures")  # noqa: B023 - as above
        assert sorted(kept(stack)) == sorted(set(kept(stack)))
        assert len(kept(stack)) == sent
        wait_for(lambda: stack.status("cloud-sync").counters["samples_stored"] == sent, 30)
        assert stack.status("cloud-sync").problems == ()
        assert stack.processes["cloud-sync"].stop() == os.EX_OK


def told_at(stack: Stack) -> datetime:
    status: Status = stack.status("cloud-sync")
    return status.at


def kept(stack: Stack) -> list[str]:
    reply = stack.bus.request(c.ListSamples(limit=1000), 20)
    assert reply.ok, reply.reason
    return [sample["id"] for sample in json.loads(bytes(reply.attachment))["samples"]]
