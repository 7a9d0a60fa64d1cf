"""What a container of ours may do, and what it may not."""

import json
from typing import Any

import pytest

from support.compose_box import SERVICES, ComposeBox, docker

USER = "10001"
NO_CAPABILITIES = "0000000000000000"
KERNEL = ("/proc", "/sys", "/dev")
"""Of the kernel, not of the image: what may be written there is the engine's affair."""


def inside(container: dict[str, Any], script: str) -> str:
    return docker("exec", container["Id"], "sh", "-c", script)


@pytest.fixture(params=SERVICES)
def container(request: pytest.FixtureRequest, well: ComposeBox) -> dict[str, Any]:
    return well.container(request.param)


def test_no_process_is_root_or_could_become_it(container: dict[str, Any]) -> None:
    script = """
        for process in /proc/[0-9]*; do
            [ "$process" = /proc/$$ ] || grep -hE "^(Uid|Gid|Cap|NoNewPrivs)" "$process/status"
        done"""
    told = inside(container, script)
    assert told
    seen: dict[str, set[str]] = {}
    for line in told.splitlines():
        name, _, rest = line.partition(":")
        seen.setdefault(name, set()).update(rest.split())
    assert seen.pop("Uid") == {USER}
    assert seen.pop("Gid") == {USER}
    assert seen.pop("NoNewPrivs") == {"1"}
    assert all(values == {NO_CAPABILITIES} for values in seen.values()), seen
    assert len(seen) == 5


def test_nothing_can_be_written_but_volumes_and_memory(container: dict[str, Any]) -> None:
    # An attempt in every folder there is, not a look at its rights.
    script = """
        find / -type d -not -path '/proc/*' -not -path '/sys/*' -not -path '/dev/*' 2> /dev/null |
        while IFS= read -r folder; do
            if (: > "$folder/.tried") 2> /dev/null; then rm "$folder/.tried"; echo "$folder"; fi
        done"""
    written = inside(container, script).split()
    mounted = {m["Destination"] for m in container["Mounts"] if m["RW"]} | {"/tmp", "/run"}
    below = [f for f in written if not any(f == m or f.startswith(f"{m}/") for m in mounted)]
    assert below == []
    assert {"/tmp", "/run"} <= set(written)


def test_volumes_that_are_only_read_cannot_be_written(container: dict[str, Any]) -> None:
    read = {m["Destination"] for m in container["Mounts"] if not m["RW"]}
    for folder in read:
        told = inside(container, f"(: > {folder}/x) 2>&1 || true")
        assert "Read-only file system" in told, (folder, told)


def test_its_limits_are_set(container: dict[str, Any]) -> None:
    host = container["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] in (None, [])
    assert not host["Privileged"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}
    assert container["Config"]["StopTimeout"] == 20
    assert container["Config"]["Healthcheck"]["Test"]


def test_each_service_has_its_own_password_and_no_other(well: ComposeBox) -> None:
    passwords = {}
    for service in SERVICES[1:]:
        about = well.container(service)
        account = [m for m in about["Mounts"] if m["Destination"] == "/account"]
        assert [m["Name"] for m in account] == [f"{well.project}_{service}-account"]
        assert not any("broker" in m.get("Name", "") for m in about["Mounts"])
        passwords[service] = inside(about, "cat /account/password")
        assert passwords[service] not in json.dumps(about)
    assert len(set(passwords.values())) == len(passwords)
