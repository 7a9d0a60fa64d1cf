"""The profiles and the files of deploy/compose."""

import json
from itertools import combinations

import httpx
import pytest
import yaml

from support.broker import free_port
from support.compose_box import PATIENCE_S, SERVICES, ComposeBox
from support.shared import ROOT
from support.waiting import wait_for

PROFILES = {
    "demo": {"watch"},
    "edge-impulse-emulator": {"edge-impulse-emulator"},
    "postgres": {"postgres"},
    "home-assistant": {"home-assistant"},
    "node-red": {"node-red"},
    "observability": {"prometheus", "influxdb", "telegraf", "grafana"},
}
FILES = ("video", "gpu", "host-network")
STORED = "SELECT count(*) FROM results"


def test_profiles_are_valid_alone_in_pairs_and_all_together(box: ComposeBox) -> None:
    for number in (0, 1, 2, len(PROFILES)):
        for chosen in combinations(PROFILES, number):
            box.compose("config", "--quiet", variables={"COMPOSE_PROFILES": ",".join(chosen)})


def test_the_profiles_are_these() -> None:
    found: dict[str, set[str]] = {}
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, service in services.items():
        for profile in service.get("profiles", [""]):
            found.setdefault(profile, set()).add(name)
    assert found == {"": set(SERVICES), **PROFILES}


def test_every_other_container_is_hardened_as_far_as_its_image_lets_us() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name, service in services.items():
        assert service["mem_limit"], name
        if name == "home-assistant":
            continue  # its image insists on root
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


@pytest.mark.parametrize("file", FILES)
def test_every_other_file_is_valid(box: ComposeBox, file: str) -> None:
    files = ["-f", "docker-compose.yml", "-f", f"deploy/compose/{file}.yml"]
    assert box.compose(*files, "config") != box.compose("config")


def test_all_files_are_tested() -> None:
    assert {path.stem for path in (ROOT / "deploy/compose").glob("*.yml")} == set(FILES)


def test_demo_prints_what_the_cameras_see(well: ComposeBox) -> None:
    well.up(COMPOSE_PROFILES="demo")
    wait_for(lambda: " a second" in well.logs("watch"), PATIENCE_S, "lines of the watch")
    well.compose("rm", "--force", "--stop", "watch", variables={"COMPOSE_PROFILES": "demo"})


def test_the_emulator_of_edge_impulse_gives_a_model(well: ComposeBox) -> None:
    chosen = {
        "COMPOSE_PROFILES": "edge-impulse-emulator",
        "EDGE_IMPULSE_STUDIO": "http://edge-impulse-emulator:4800/v1",
        "EDGE_IMPULSE_INGESTION": "http://edge-impulse-emulator:4810",
    }
    well.up(**chosen)
    well.wait_healthy()
    with well.browser() as page:
        linked = page.put("/api/v1/project", json={"key": "ei_demo"})
        assert linked.is_success, linked.text

        def project() -> str:
            told: dict[str, object] = page.get("/api/v1/project").json()
            return json.dumps(told)

        wait_for(lambda: "Demo parts" in project(), PATIENCE_S, "the project is linked")
    before = versions(well)
    well.exec("cloud-sync", "nxai-cloud-sync", "pull")
    assert len(versions(well) - before) == 1
    well.exec("cloud-sync", "nxai-cloud-sync", "unlink")
    well.compose("rm", "--force", "--stop", "edge-impulse-emulator", variables=chosen)


def versions(box: ComposeBox) -> set[str]:
    """Return the digests of the models in the catalogue."""
    models = json.loads(box.exec("cloud-sync", "nxai-cloud-sync", "models", "--json"))
    return {each["digest"] for each in models["versions"]}


def test_postgres_stores_the_results(well: ComposeBox) -> None:
    chosen = {
        "COMPOSE_PROFILES": "postgres",
        "DATABASE_URL": "postgresql://nxai@postgres/nxai",
        "DATABASE_PASSWORD_FILE": "/database/password",
    }
    well.up(**chosen)

    def stored() -> int:
        command = ["psql", "--host", "127.0.0.1", "--username", "nxai", "-Atc", STORED, "nxai"]
        script = 'PGPASSWORD=$(cat /account/password) "$@"'
        told = well.exec("postgres", "sh", "-c", script, "sh", *command, check=False).strip()
        return int(told or 0)

    wait_for(lambda: stored() > 20, PATIENCE_S, "results in PostgreSQL")
    well.wait_healthy()
    postgres = well.container("postgres")
    assert postgres["HostConfig"]["ReadonlyRootfs"]
    assert postgres["HostConfig"]["CapDrop"] == ["ALL"]
    password = well.exec("postgres", "cat", "/account/password").strip()
    assert password not in json.dumps(well.containers())
    well.compose("rm", "--force", "--stop", "postgres", variables=chosen)
    well.up()


def test_prometheus_reads_every_service(well: ComposeBox) -> None:
    port = free_port()
    chosen = {"COMPOSE_PROFILES": "observability", "PROMETHEUS_PORT": str(port)}
    well.up("prometheus", **chosen)

    def targets() -> dict[str, str]:
        try:
            told = httpx.get(f"http://127.0.0.1:{port}/api/v1/targets", timeout=10).json()
        except httpx.HTTPError:
            return {}
        active = told["data"]["activeTargets"]
        return {each["labels"]["instance"]: each["health"] for each in active}

    wanted = dict.fromkeys(set(SERVICES) - {"mosquitto"}, "up")
    wait_for(lambda: targets() == wanted, PATIENCE_S, "targets of Prometheus")
    rules = httpx.get(f"http://127.0.0.1:{port}/api/v1/rules", timeout=10).json()
    assert {rule["health"] for group in rules["data"]["groups"] for rule in group["rules"]} <= {
        "ok",
        "unknown",  # not looked at yet
    }
    well.compose("rm", "--force", "--stop", "prometheus", variables=chosen)
