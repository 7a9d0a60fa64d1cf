"""What to type next, said beside what the service says: a page of it has buttons instead."""

from typing import Final

_HINTS: Final = (
    ("no Edge Impulse project is linked", "`nxai-cloud-sync link`"),
    ("there is no API key", "`nxai-cloud-sync link`"),
    ("link again with a key", "`nxai-cloud-sync link`"),
    ("say where pictures go to, too", "`--ingestion URL`"),
    ("is fetched again when a person asks", "`nxai-cloud-sync pull`"),
    ("train it again, here or in Studio", "`nxai-cloud-sync retrain`"),
    ("was tried: fetch the newest", "`nxai-cloud-sync pull`, then `deploy`"),
    ("from its cameras first", "`nxai-cloud-sync undeploy`"),
    ("is tried beside", "`nxai-cloud-sync models` shows how it goes"),
    ("the list of pictures says why", "`nxai-cloud-sync samples --state failed`"),
)


def with_hint(text: str) -> str:
    """Return what is to be said, and the command that helps where there is one."""
    if "nxai-cloud-sync" in text:  # it says so itself
        return text
    hint = next((hint for part, hint in _HINTS if part in text), "")
    return f"{text} ({hint})" if hint else text
