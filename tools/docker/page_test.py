"""Looks at the page of the running containers as a newcomer does: sets a password, sees the demo.

page_test.py PORT HTTPS_PORT
"""

import sys

import httpx

PASSWORD = "of the compose test"  # noqa: S105 - of containers that live a minute
JPEG = b"\xff\xd8\xff"


def main() -> int:
    """Walk the way; raise where it does not go on."""
    port, https_port = sys.argv[1:]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as page:
        expect("<title>" in page.get("/").text, "the page is served")
        told = page.get("/api/v1/session").json()
        expect(told["state"] == "setup", f"a password is to be set, not {told}")
        first = page.post("/api/v1/setup", json={"username": "admin", "password": PASSWORD})
        expect(first.status_code == httpx.codes.CREATED, first.text)
        page.headers["X-CSRF-Token"] = first.json()["csrf"]
        still = page.get("/api/v1/cameras/demo/still")
        expect(still.content.startswith(JPEG), f"the demo camera's picture, not {still.text[:200]}")
        tested = page.post("/api/v1/test", json={}).json()
        messages = tested["cameras"][0]["results"][0]["messages"]
        expect('"count"' in messages[0]["payload"], f"what would be sent, not {tested}")
        # Edge Impulse is not there: that a job begins says that cloud-sync got the key.
        linked = page.put("/api/v1/project", json={"key": "ei_0123456789abcdef"})
        expect(bool(linked.json().get("job")), linked.text)
    # The certificate was made by the box itself a moment ago.
    secure = httpx.get(f"https://127.0.0.1:{https_port}/api/v1/session", verify=False, timeout=60)  # noqa: S501 - as above
    expect(secure.json()["state"] == "login", secure.text)
    print("the page answers, over HTTPS, too")
    return 0


def expect(fits: bool, words: str) -> None:
    """Stop with what was expected.

    Raises:
        SystemExit: it is not so.
    """
    if not fits:
        sys.exit(f"the page: {words}")


if __name__ == "__main__":
    sys.exit(main())
