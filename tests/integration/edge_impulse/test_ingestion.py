"""What may be uploaded, and what becomes of it."""

import json
import socket

import httpx
import pytest

from support.edge_impulse import Box, Emulator, Project, Urls
from support.edge_impulse import ingestion as ingestion_module
from support.edge_impulse.pictures import jpeg
from support.edge_impulse.project import Role
from support.waiting import wait_for


def upload(
    urls: Urls,
    *files: tuple[str, bytes],
    category: str = "training",
    key: str = "ei_admin",
    **headers: str,
) -> httpx.Response:
    return httpx.post(
        f"{urls.ingestion}/api/{category}/files",
        headers={"x-api-key": key} | {f"x-{k.replace('_', '-')}": v for k, v in headers.items()},
        files=[("data", (name, data, "image/jpeg")) for name, data in files],
    )


def test_who_may_upload(urls: Urls, project: Project) -> None:
    roles: dict[Role, int] = {
        "admin": 200,
        "readonly": 403,
        "ingestiononly": 200,
        "ingestion_deployment": 200,
    }
    for number, (role, status) in enumerate(roles.items()):
        project.add_key(role, role)
        answer = upload(urls, ("a.jpg", jpeg(number)), key=role)
        assert (answer.status_code, answer.json()["success"]) == (status, status == 200)
    for key in ("ei_wrong", ""):
        answer = upload(urls, ("a.jpg", jpeg(9)), key=key)
        assert answer.status_code == 401
        assert answer.json() == {"success": False, "error": "Invalid API key"}
    assert len(project.uploaded()) == 3


def test_each_file_has_an_answer_of_its_own(urls: Urls, project: Project) -> None:
    answer = upload(
        urls,
        ("a.jpg", jpeg(1)),
        ("b.jpg", jpeg(1)),
        ("c.jpg", b"no picture"),
        ("d.jpg", jpeg(2)[:-10]),
        ("e.xyz", b"?"),
        no_label="1",
        disallow_duplicates="1",
        metadata=json.dumps({"camera": "gate"}),
        upload_source="box",
    )
    (kept,) = project.uploaded()
    assert (kept.label, kept.metadata, kept.source) == ("", {"camera": "gate"}, "box")
    assert (kept.data, kept.width, kept.height) == (jpeg(1), 64, 48)
    files = answer.json()["files"]
    assert answer.json()["success"] is True
    assert files[0] == {
        "success": True,
        "projectId": project.id,
        "sampleId": kept.id,
        "fileName": "a.jpg",
    }
    assert [each["success"] for each in files[1:]] == [False] * 4
    errors = [each["error"] for each in files[1:]]
    assert errors[0] == f"An item with this hash already exists (ids: {kept.id})"
    assert errors[1].startswith("Could not read image: cannot identify")
    assert errors[2:] == ["Could not read image: it ends too early", "Unsupported file type '.xyz'"]


def test_labels_and_names(urls: Urls, project: Project) -> None:
    upload(urls, ("dog.1.jpg", jpeg(1)))
    upload(urls, ("dog.2.jpg", jpeg(2)), label="big%20dog")
    upload(urls, ("dog.3.jpg", jpeg(3)), label="")
    upload(urls, ("dog.4.jpg", jpeg(4)), add_date_id="1")
    samples = project.uploaded()
    assert [each.label for each in samples] == ["dog", "big dog", "", "dog"]
    assert samples[3].filename == f"dog.4.{samples[3].id:x}.jpg"


def test_parts_with_labels(urls: Urls, project: Project) -> None:
    box = {"label": "box", "x": 1, "y": 2, "width": 3, "height": 4}
    boxes = {"version": 1, "type": "bounding-box-labels", "boundingBoxes": {"b.jpg": [box]}}
    upload(
        urls,
        ("bounding_boxes.labels", json.dumps(boxes).encode()),
        ("a.jpg", jpeg(1)),
        ("b.jpg", jpeg(2)),
    )
    info = {
        "version": 1,
        "files": [
            {
                "path": "training/c.jpg",
                "category": "testing",
                "label": {"type": "label", "label": "cat"},
                "metadata": {"k": "v"},
                "boundingBoxes": [box],
            }
        ],
    }
    upload(urls, ("c.jpg", jpeg(3)), ("info.labels", json.dumps(info).encode()))
    a, b, c = project.uploaded()
    assert (a.boxes, b.boxes) == ((), (Box("box", 1, 2, 3, 4),))
    assert (c.boxes, c.label, c.metadata) == (b.boxes, "cat", {"k": "v"})
    assert (b.category, c.category) == ("training", "testing")


def test_requests_that_are_refused_as_a_whole(
    urls: Urls, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = ("a.jpg", jpeg(1))
    for answer in (
        upload(urls, file, metadata="no JSON"),
        upload(urls, file, metadata='{"number": 1}'),
        upload(urls, file, bounding_boxes='[{"label": "a", "x": 1, "y": 1, "width": 0}]'),
        upload(
            urls,
            file,
            bounding_boxes='[{"label": "a", "x": 1, "y": 1, "width": 0, "height": 1}]',
        ),
        upload(
            urls,
            file,
            bounding_boxes='[{"label": "a", "x": 1.5, "y": 1, "width": 2, "height": 1}]',
        ),
        upload(urls, ("bounding_boxes.labels", b"no JSON")),
        upload(urls, ("bounding_boxes.labels", b"[]")),
        upload(urls, ("info.labels", b'{"files": [{"path": "a.jpg"}]}')),
        upload(urls, file, category="validation"),
        upload(urls, file, category="nothing"),
        upload(urls),
        httpx.post(
            f"{urls.ingestion}/api/training/files",
            headers={"x-api-key": "ei_admin"},
            files={"file": file},
        ),
        httpx.post(
            f"{urls.ingestion}/api/training/files",
            headers={"x-api-key": "ei_admin", "content-type": "multipart/form-data; boundary=x"},
            content=b'--x\r\ncontent-disposition: form-data; name="data"\r\n\r\nno end',
        ),
    ):
        assert (answer.status_code, answer.json()["success"]) == (400, False)
    monkeypatch.setattr(ingestion_module, "MOST_FILES", 2)
    assert upload(urls, *[file] * 3).status_code == 400
    assert project.uploaded() == []
    project.explicit_validation = True
    assert upload(urls, file, category="validation").status_code == 200
    assert [each.category for each in project.uploaded()] == ["validation"]


def test_a_file_that_is_too_large(
    urls: Urls, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestion_module, "LARGEST_FILE", 50_000)
    large = jpeg(1, (400, 400))
    assert len(large) > 50_000
    files = upload(urls, ("a.jpg", large), ("b.jpg", jpeg(2))).json()["files"]
    assert [each["success"] for each in files] == [False, True]
    assert [each.filename for each in project.uploaded()] == ["b.jpg"]


def test_only_hash_and_size_are_kept_on_demand(urls: Urls, project: Project) -> None:
    project.emulator.keep_bytes = False
    upload(urls, ("a.jpg", jpeg(1)))
    (kept,) = project.uploaded()
    assert (kept.data, kept.size, len(kept.sha256)) == (None, len(jpeg(1)), 64)


def test_the_way_for_a_single_file(urls: Urls, project: Project) -> None:
    address = f"{urls.ingestion}/api/testing/data"
    headers = {"x-api-key": "ei_admin", "x-disallow-duplicates": "1"}
    missing = httpx.post(address, headers=headers, content=jpeg(1))
    assert missing.status_code == 422
    headers["x-file-name"] = "a.jpg"
    assert httpx.post(address, headers=headers, content=jpeg(1)).text == "a.jpg"
    again = httpx.post(address, headers=headers, content=jpeg(1))
    assert (again.status_code, "already exists" in again.json()["error"]) == (400, True)
    assert [each.category for each in project.uploaded()] == ["testing"]


@pytest.mark.parametrize("size", [1, 7, 65_536])
def test_a_body_in_pieces_of_any_size(urls: Urls, project: Project, size: int) -> None:
    data = jpeg(1)[:-2] + b"\r\n--y\r\n--\r\r\n\xff\xd9"
    part = b'--x\r\nContent-Disposition: form-data; name="data"; filename="%s.jpg"\r\n\r\n%s\r\n'
    body = b"before\r\n" + b"".join(part % (name, data) for name in (b"a", b"b")) + b"--x--\r\n"
    answer = httpx.post(
        f"{urls.ingestion}/api/training/files",
        headers={"x-api-key": "ei_admin", "content-type": 'multipart/form-data; boundary="x"'},
        content=(body[at : at + size] for at in range(0, len(body), size)),
    )
    assert [each["success"] for each in answer.json()["files"]] == [True, True]
    assert [(each.filename, each.data) for each in project.uploaded()] == [
        ("a.jpg", data),
        ("b.jpg", data),
    ]


def test_a_client_that_leaves_within_an_upload(
    urls: Urls, emulator: Emulator, project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = urls.ingestion.removeprefix("http://").split(":")
    head = (
        "POST /api/training/files HTTP/1.1\r\nHost: here\r\nx-api-key: ei_admin\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 100000\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="data"; filename="a.jpg"\r\n\r\n'
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + bytes(1000))
        wait_for(lambda: emulator.requests, what="the request")
    wait_for(lambda: emulator.requests[0].size > 1000, what="its end")
    assert project.uploaded() == []
    assert upload(urls, ("a.jpg", jpeg(1))).status_code == 200
    assert caplog.records == []
