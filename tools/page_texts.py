"""Keeps the texts of the manager's page and their translations together.

``python tools/page_texts.py [part ...]`` reads every ``t("...")`` and ``tn(n, "...", "...")`` of
``page/js``, writes ``locales/en/<part>.json`` (what there is to translate), and brings
``locales/de/<part>.json`` in step: new texts come in empty, what is used no more goes. Parts are
"shell" (all that every page needs), "setup", and one for each other page. ``--check`` only says
what is not in step or not translated (exit 1).
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "services/manager/src/nxai_manager/page"
LANGUAGES: Final = ("de",)
PLURALS: Final = {"de": ("one", "other")}
"""Forms of CLDR that a language has (`Intl.PluralRules`)."""
TOGETHER: Final = {"login": "setup", "start": "setup"}
"""Pages that share the texts of another: all that is seen before the first look at a camera."""

STRING: Final = r'"((?:[^"\\]|\\.)*)"'
SINGLE: Final = re.compile(rf"\bt\(\s*{STRING}")
PLURAL: Final = re.compile(rf"\btn\(\s*[^,\"]+,\s*{STRING},\s*{STRING}")
CALL: Final = re.compile(r"\bt\(\s*([^\"\s)])|\btn\(\s*[^,\"]+,\s*([^\"\s])")
"""A text that is not a literal: nobody could translate it."""

COMMENT: Final = re.compile(r"^[ \t]*(?://[^\n]*|/\*.*?\*/)", re.MULTILINE | re.DOTALL)

Entry = str | dict[str, str]


def part_of(script: Path) -> str:
    """Return which part a script's texts belong to."""
    inside = script.relative_to(PAGE / "js").parts
    if inside[0] != "pages":
        return "shell"
    name = inside[1].removesuffix(".js")
    return TOGETHER.get(name, name)


def texts_of(source: str) -> dict[str, Entry]:
    """Return what a script says: key to the English text, or its two forms."""
    found: dict[str, Entry] = {}
    for match in SINGLE.finditer(source):
        text = json.loads(f'"{match[1]}"')
        found[text] = text
    for match in PLURAL.finditer(source):
        one, other = (json.loads(f'"{text}"') for text in match.groups())
        found[other] = {"one": one, "other": other}
    return found


def without_comments(source: str) -> str:
    """Return a script without comments on lines of their own; lines keep their number."""
    return COMMENT.sub(lambda match: "\n" * match[0].count("\n"), source)


def not_literal(source: str) -> list[int]:
    """Return the lines whose text is not a literal."""
    code = re.sub(r"export function tn?\(", "", source)
    return [code.count("\n", 0, match.start()) + 1 for match in CALL.finditer(code)]


def collect() -> tuple[dict[str, dict[str, Entry]], list[str]]:
    """Return the texts of each part, and what is wrong in the scripts."""
    parts: dict[str, dict[str, Entry]] = {}
    wrong: list[str] = []
    for script in sorted((PAGE / "js").rglob("*.js")):
        source = without_comments(script.read_text())
        parts.setdefault(part_of(script), {}).update(texts_of(source))
        where = script.relative_to(PAGE)
        wrong += [f"{where}:{line}: a text must be a literal" for line in not_literal(source)]
    shell = parts.get("shell", {})
    for part, texts in parts.items():
        if part != "shell":
            for text in shell.keys() & texts.keys():
                del texts[text]  # every page has those
    return {part: dict(sorted(texts.items())) for part, texts in parts.items()}, wrong


def translated(language: str, part: str) -> dict[str, Entry]:
    """Return a locale file; nothing where there is none."""
    path = PAGE / "locales" / language / f"{part}.json"
    texts: dict[str, Entry] = json.loads(path.read_text()) if path.exists() else {}
    return texts


def in_step(language: str, texts: dict[str, Entry], before: dict[str, Entry]) -> dict[str, Entry]:
    """Return a locale file with exactly these texts; what is new is empty."""
    after: dict[str, Entry] = {}
    for key, english in texts.items():
        kept = before.get(key)
        if isinstance(english, str):
            after[key] = kept if isinstance(kept, str) else ""
        else:
            forms = kept if isinstance(kept, dict) else {}
            after[key] = {form: forms.get(form, "") for form in PLURALS[language]}
    return after


def untranslated(texts: dict[str, Entry]) -> list[str]:
    """Return the keys that have no translation, or one that lacks a ``{variable}``."""
    return [
        key
        for key, value in texts.items()
        if not all(
            form and set(re.findall(r"\{\w+\}", key)) - {"{n}"} == variables(form) - {"{n}"}
            for form in (value.values() if isinstance(value, dict) else [value])
        )
    ]


def variables(text: str) -> set[str]:
    """Return the placeholders in a text."""
    return set(re.findall(r"\{\w+\}", text))


def as_json(texts: dict[str, Entry]) -> str:
    """Return a locale file's text."""
    return json.dumps(texts, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is not in step")
    parser.add_argument("part", nargs="*", help="only these; left out: all")
    arguments = parser.parse_args()
    check = arguments.check
    parts, wrong = collect()
    if arguments.part:
        parts = {part: texts for part, texts in parts.items() if part in arguments.part}
    files: dict[Path, str] = {}
    for part, texts in parts.items():
        files[PAGE / "locales" / "en" / f"{part}.json"] = as_json(texts)
        for language in LANGUAGES:
            path = PAGE / "locales" / language / f"{part}.json"
            after = in_step(language, texts, translated(language, part))
            files[path] = as_json(after)
            wrong += [
                f"locales/{language}/{part}.json: not translated: {key}"
                for key in untranslated(after)
            ]
    stale = {
        path
        for language in ("en", *LANGUAGES)
        for path in (PAGE / "locales" / language).glob("*.json")
        if path not in files and not arguments.part
    }
    if check:
        wrong += [
            f"{path.relative_to(PAGE)}: out of step; run `python tools/page_texts.py`"
            for path, text in files.items()
            if not path.exists() or path.read_text() != text
        ]
        wrong += [f"{path.relative_to(PAGE)}: belongs to no page" for path in sorted(stale)]
    else:
        for path in stale:
            path.unlink()
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
    print("\n".join(wrong) or f"{sum(map(len, parts.values()))} texts, all translated")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
