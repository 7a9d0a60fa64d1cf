"""Puts the libraries of the manager's page into its folder ``vendor/``: ``make vendor``.

Each comes from the npm registry in one pinned version whose SHA-512 is checked, and only the files
that are used are taken. What is changed in them: bare imports become relative ones, so that the
browser needs no import map, and the comment that names a source map goes. ``VERSIONS.json`` says
what lies there; ``--check`` compares the files with it, without the network (exit 1).
"""

import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
VENDOR: Final = ROOT / "services/manager/src/nxai_manager/page/vendor"
VERSIONS: Final = "VERSIONS.json"
SPRITE: Final = "icons.svg"


@dataclass(frozen=True)
class Library:
    """One npm package, and which of its files go where in ``vendor/``."""

    name: str
    version: str
    licence: str
    integrity: str
    """As npm prints it: ``sha512-`` and the digest of the archive in base64."""
    files: dict[str, str] = field(default_factory=dict)
    """File of the package: file in ``vendor/``."""
    ending: dict[str, str] = field(default_factory=dict)
    """File in ``vendor/``: what is written at its end."""


LIBRARIES: Final = (
    Library(
        "preact",
        "11.2.0",
        "MIT",
        "sha512-/HfHI/7N84e6GrWBJ3J280z3mLaRJiDcSvj/A+y/4AbLnND/1UlGHe1sR6oYuTGwId0nP7dqDU9OnLxMPZ7xBg==",
        {"dist/preact.mjs": "preact.js", "hooks/dist/hooks.mjs": "preact-hooks.js"},
    ),
    Library(
        "htm",
        "3.1.1",
        "Apache-2.0",
        "sha512-983Vyg8NwUE7JkZ6NmOqpCZ+sh1bKv2iYTlUkzlWmA5JD2acKoxd4KVxbMmxX/85mtfdnDmTFoNKcg5DGAvxNQ==",
        {"dist/htm.mjs": "htm.js"},
    ),
    Library(
        "@preact/signals-core",
        "1.14.5",
        "MIT",
        "sha512-vcRv7Ityz5JVmeiVqIluLFzT/PDS/AlhHUpw3/aUWqcVUs6bDGIPXE/6RSC4evBNWYvnniozg5Syfj33al3gkg==",
        {"dist/signals-core.mjs": "signals-core.js"},
    ),
    Library(
        "@preact/signals",
        "2.11.4",
        "MIT",
        "sha512-Rb+5RPo9gWSaHtzJeauhHxiC8KP/IF2DEPkHPEOGOnuy2wnJzRqyeLRankUCYd6ADqtxS6GnWGv6Ie343d8aYw==",
        {"dist/signals.mjs": "signals.js"},
    ),
    Library(
        "uplot",
        "1.6.32",
        "MIT",
        "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==",
        {"dist/uPlot.iife.min.js": "uplot.js", "dist/uPlot.min.css": "uplot.css"},
        {"uplot.js": "\nexport default uPlot;\n"},  # a third of the size of its own ES module
    ),
    Library(
        "marked",
        "18.2.1",
        "MIT",
        "sha512-ii4bxCTCqqwpT86XZWgJNs+ZnAIZksmLGYMViWA7PDIXYIeNo1x6cDdX3JOip9NM/cI6p8z57FxliACboTruMA==",
        {"lib/marked.esm.js": "marked.js"},
    ),
    Library(
        "dompurify",
        "3.5.0",
        "MPL-2.0 OR Apache-2.0",
        "sha512-LYC0ZkE8P1V42JsRYTwMdme/2ET8SpOc5AA2eOFjP/IadvRd2fwiT4TVz5vkfy0XUx12aS2UaRkTnfVPNOv9vw==",
        {"dist/purify.es.mjs": "dompurify.js"},
    ),
    Library(
        "lucide-static",
        "1.62.0",
        "ISC",
        "sha512-WBZA/m2PvkFpMGHDtsBck5P2A9G4ehLlYu4GwwICcmEm1BvYVgj00lCDxKRWLlbMlOibLaiwdQ88G5pHkSWgwA==",
    ),
)

_ICONS: Final = """
    activity archive arrow-down arrow-left arrow-right arrow-up arrow-up-down bell book-open
    braces brain-circuit camera cctv chart-line check chevron-down chevron-left chevron-right
    chevron-up circle circle-alert circle-check circle-dot circle-question-mark
    circle-user-round circle-x clock contrast copy cpu crosshair database download ellipsis
    ellipsis-vertical external-link eye eye-off file-json file-text file-up film flask-conical
    folder funnel funnel-x gauge git-compare grid-2x2 hard-drive history house image image-off
    images info key-round keyboard languages layers link list loader-circle lock log-out
    maximize minimize minus monitor moon move network package pause pencil pentagon play plug
    plus radio-tower rectangle-horizontal refresh-cw rocket rotate-ccw save scan search send
    server settings shield-check sliders-horizontal square square-dashed sun sun-moon tag
    terminal thumbs-down thumbs-up trash-2 triangle-alert undo-2 unlink unplug upload usb user
    users video video-off webhook wifi wifi-off x zap
"""
ICONS: Final = tuple(sorted(_ICONS.split()))
"""Of lucide-static; they become one SVG sprite."""

BARE_IMPORTS: Final = {
    '"preact"': '"./preact.js"',
    '"preact/hooks"': '"./preact-hooks.js"',
    '"@preact/signals-core"': '"./signals-core.js"',
}
SOURCE_MAP: Final = re.compile(r"\n?(//[#@]|/\*#) ?sourceMappingURL=.*$", re.MULTILINE)


def fetch(library: Library, folder: Path) -> Path:
    """Return the unpacked package in `folder`, after its digest was checked.

    Raises:
        SystemExit: npm cannot have it, or it is not the file that is pinned.
    """
    target = folder / library.name.replace("/", "-")
    target.mkdir()
    wanted = f"{library.name}@{library.version}"
    packed = subprocess.run(
        ["npm", "pack", "--silent", wanted], cwd=target, capture_output=True, text=True, check=False
    )
    if packed.returncode != 0:
        sys.exit(f"npm pack {wanted}: {packed.stderr.strip() or 'failed'}")
    archive = target / packed.stdout.split()[-1]
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != library.integrity:
        sys.exit(f"{wanted}: sha512-{digest} came, {library.integrity} is pinned; nothing written")
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    return target / "package"


def as_served(text: str) -> str:
    """Return a file as the page can load it: relative imports, no source map."""
    for bare, relative in BARE_IMPORTS.items():
        text = text.replace(f"from{bare}", f"from{relative}")
    return SOURCE_MAP.sub("", text).rstrip() + "\n"


def sprite(icons: Path) -> str:
    """Return one SVG with a symbol for each of `ICONS`; line style is the stylesheet's."""
    symbols = []
    for name in ICONS:
        text = (icons / f"{name}.svg").read_text()
        inner = text[text.index(">", text.index("<svg")) + 1 : text.index("</svg>")]
        body = "".join(line.strip() for line in inner.splitlines())
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{body}</symbol>')
    return (
        '<svg xmlns="http://www.w3.org/2000/svg"><!-- lucide, ISC licence: licences/lucide-static'
        ".txt -->\n" + "\n".join(symbols) + "\n</svg>\n"
    )


def build() -> dict[str, str]:
    """Return what ``vendor/`` shall hold: file and its text."""
    files: dict[str, str] = {}
    listed: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for library in LIBRARIES:
            package = fetch(library, Path(folder))
            texts = {
                to: as_served((package / source).read_text()) + library.ending.get(to, "")
                for source, to in library.files.items()
            }
            if library.name == "lucide-static":
                texts[SPRITE] = sprite(package / "icons")
            licence = f"licences/{library.name.removeprefix('@').replace('/', '-')}.txt"
            texts[licence] = (package / "LICENSE").read_text()
            files |= texts
            listed.append(
                {
                    "name": library.name,
                    "version": library.version,
                    "licence": library.licence,
                    "licence_file": licence,
                    "source": f"npm:{library.name}@{library.version}",
                    "integrity": library.integrity,
                    "files": {
                        name: hashlib.sha256(text.encode()).hexdigest()
                        for name, text in texts.items()
                    },
                }
            )
    files[VERSIONS] = json.dumps({"libraries": listed}, indent=2) + "\n"
    return files


def write(files: dict[str, str]) -> None:
    """Make ``vendor/`` hold exactly `files`."""
    for old in VENDOR.rglob("*"):
        if old.is_file() and old.relative_to(VENDOR).as_posix() not in files:
            old.unlink()
    for name, text in files.items():
        path = VENDOR / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def differences(folder: Path = VENDOR) -> list[str]:
    """Return in which way `folder` is not what its ``VERSIONS.json`` and `LIBRARIES` say."""
    try:
        listed = json.loads((folder / VERSIONS).read_text())["libraries"]
    except FileNotFoundError:
        return [f"{VERSIONS} is missing"]
    found = []
    pinned = {library.name: library for library in LIBRARIES}
    told = {entry["name"]: entry for entry in listed}
    for name in sorted(pinned.keys() | told.keys()):
        if name not in told or name not in pinned:
            found.append(f"{name}: in {'tools/vendor.py' if name in pinned else VERSIONS} only")
        elif told[name]["integrity"] != pinned[name].integrity:
            found.append(
                f"{name}: {told[name]['version']} lies there, {pinned[name].version} is pinned"
            )
    digests = {name: digest for entry in listed for name, digest in entry["files"].items()}
    for name, digest in digests.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name}: missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            found.append(f"{name}: changed by hand")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    found += [f"{name}: belongs to no library" for name in sorted(there - digests.keys())]
    found.remove(f"{VERSIONS}: belongs to no library")
    return found


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is not as it should be")
    if parser.parse_args().check:
        found = differences()
        if found:
            print("page/vendor is not what tools/vendor.py makes of it; run `make vendor`:")
            print("\n".join(f"  {line}" for line in found))
        return 1 if found else 0
    files = build()
    write(files)
    print(f"{len(files)} files of {len(LIBRARIES)} libraries in {VENDOR.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
