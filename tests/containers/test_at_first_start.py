"""`docker compose up` with nothing configured, as a newcomer does it."""

import httpx

from nxai_common.contracts.status import ServiceState, Status
from support.compose_box import SERVICES, ComposeBox, docker
from support.shared import ROOT
from support.waiting import wait_for

JPEG = b"\xff\xd8\xff"


def test_the_demo_is_seen_outside(box: ComposeBox) -> None:
    found = box.wait_detections(5)
    assert {message.camera for message in found} == {"demo"}
    assert {each.label for message in found for each in message.objects} <= {
        "bolt",
        "nut",
        "washer",
    }


def test_every_container_is_healthy_and_none_had_to_be_started_again(box: ComposeBox) -> None:
    box.wait_healthy()
    assert set(box.health()) == {f"{service}1" for service in SERVICES}
    assert {each["RestartCount"] for each in box.containers()} == {0}


def test_the_page_shows_the_demo(box: ComposeBox) -> None:
    with box.browser() as page:
        assert "<title>" in page.get("/").text
        still = page.get("/api/v1/cameras/demo/still")
        assert still.content.startswith(JPEG), still.text
        tested = page.post("/api/v1/test", json={}).json()
        assert '"count"' in tested["cameras"][0]["results"][0]["messages"][0]["payload"]
        # Edge Impulse is not there: that a job begins says that cloud-sync got the key.
        linked = page.put("/api/v1/project", json={"key": "ei_0123456789abcdef"})
        assert linked.json().get("job"), linked.text
    # The certificate was made by the box itself a moment ago.
    secure = httpx.get(f"{box.https}/api/v1/session", verify=False, timeout=60)  # noqa: S501 - as above
    assert secure.json()["state"] == "login"


def test_an_imported_model_comes_into_force(box: ComposeBox) -> None:
    """cloud-sync and inference share the catalogue, and nothing else."""
    model = (ROOT / "models/demo-parts/model.onnx").read_bytes()
    container = box.container("cloud-sync")["Id"]
    command = ["sh", "-c", "cat > /tmp/model.onnx"]
    docker("exec", "-i", container, *command, given=model)
    box.exec(
        *("cloud-sync", "nxai-cloud-sync", "import", "/tmp/model.onnx"),
        *("--model", "copy", "--labels", "bolt,nut,washer"),
    )
    box.exec("cloud-sync", "nxai-cloud-sync", "deploy", "copy", "--camera", "demo")
    with box.outside(Status) as reader:
        reader.next(
            lambda s: (
                s.role == "inference"
                and any(m.model == "copy" and m.digest for m in s.models)
                and s.state is ServiceState.RUNNING
            ),
            Status,
        )
    wait_for(
        lambda: "in force on demo" in box.exec("cloud-sync", "nxai-cloud-sync", "models"),
        60,
        "the imported model",
    )
    box.exec("cloud-sync", "nxai-cloud-sync", "undeploy", "copy")
