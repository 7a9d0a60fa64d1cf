"""Edge Impulse's Studio API over HTTP."""

import contextlib
import errno
import os
from pathlib import Path
from typing import Final

from nxai_cloud_sync.adapters.edge_impulse_http import EdgeImpulseServer, HttpLimits, base_url
from nxai_cloud_sync.core import project_answers
from nxai_cloud_sync.core.project import (
    Download,
    Impulse,
    KeyInfo,
    LearnBlock,
    LogLine,
    ProjectInfo,
    TrainedModel,
    TrainingJob,
)
from nxai_cloud_sync.ports import OnBytes, StorageUnavailable
from nxai_common.errors import CloudRejected, KeyRefused

DEFAULT_PATH: Final = "/v1"
"""Of the API, where only a host was given."""
LOG_LINES: Final = 1000
"""Studio keeps as many."""
CATEGORIES: Final = ("training", "testing")
"""Where an uploaded picture may be: "split" puts it into either."""
LIKE_NAMED: Final = 50
"""Samples that hold a name within theirs; names of ours are unique."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class StudioHttp:
    """Implements `Studio`. May be used by several threads.

    Args:
        base: Base URL, such as `https://studio.edgeimpulse.com/v1`.
        key: API key of a project.
        limits: How long, how slow and how large things may be.

    Raises:
        ConfigurationError: `base` is no address.
    """

    def __init__(self, base: str, key: str, limits: HttpLimits | None = None) -> None:
        url = base_url(base, DEFAULT_PATH)
        self._server = EdgeImpulseServer(url, key, limits or HttpLimits())

    def close(self) -> None:
        """Close connections."""
        self._server.close()

    # -- key and project ----------------------------------------------------------------------

    def key_info(self) -> KeyInfo:
        """Return what the key belongs to."""
        path = "/api/projects/api-key-info"
        try:
            answer = self._server.get(path, "the key's project")
        except KeyRefused:
            raise
        except CloudRejected:  # an older server of somebody's own
            path = "/api/projects"
            answer = self._server.get(path, "the key's project")
            return project_answers.key_info_of_projects(answer, f"GET {path}")
        return project_answers.key_info(answer, f"GET {path}")

    def project(self, project: int) -> ProjectInfo:
        """Return a project; with a key that may not see all of it, what anybody may see."""
        path = f"/api/{project}"
        try:
            answer = self._server.get(path, "the project")
        except KeyRefused as refused:
            path = f"/api/{project}/public-info"
            try:
                answer = self._server.get(path, "the project's public part")
            except CloudRejected:
                raise refused from None
            return project_answers.public_project(answer, f"GET {path}")
        return project_answers.project(answer, f"GET {path}")

    def last_modification(self, project: int) -> str:
        """Return a text that changes whenever anything in the project does."""
        path = f"/api/{project}/last-modification"
        answer = self._server.get(path, "the date of the project's last change")
        return project_answers.last_modification(answer, f"GET {path}")

    # -- impulses and models ------------------------------------------------------------------

    def impulses(self, project: int) -> tuple[Impulse, ...]:
        """Return the impulses that read images, the default one first."""
        path, one = f"/api/{project}/impulses", f"/api/{project}/impulse"
        what = "the project's impulses"
        try:
            answer = self._server.get(path, what)
        except KeyRefused:
            raise
        except CloudRejected:  # an older server: it has one impulse a project
            return project_answers.impulses_of_one(self._server.get(one, what), f"GET {one}")
        default = None
        with contextlib.suppress(CloudRejected):  # without a default one the first is as good
            shown = self._server.get(one, "the project's default impulse")
            default = project_answers.default_impulse(shown, f"GET {one}")
        return project_answers.impulses(answer, f"GET {path}", default)

    def trained_model(self, project: int, impulse: int, block: LearnBlock) -> TrainedModel | None:
        """Return what a learn block was trained to, or None when it is not trained."""
        path = f"/api/{project}/training/keras/{block.id}"
        query = {"impulseId": impulse}
        answer = self._server.get(path, f"learn block {block.title!r}", query)
        trained, layers = project_answers.visual_layers(answer, f"GET {path}")
        if not trained:
            return None
        path = f"{path}/metadata"
        answer = self._server.get(
            path, f"the training of {block.title!r}", {**query, "excludeLabels": "true"}
        )
        return project_answers.trained_model(answer, f"GET {path}", layers)

    def downloads(self, project: int, impulse: int) -> tuple[Download, ...]:
        """Return what can be downloaded."""
        path = f"/api/{project}/downloads"
        answer = self._server.get(path, "the list of downloads", {"impulseId": impulse})
        return project_answers.downloads(answer, f"GET {path}")

    def fetch(self, download: Download, target: Path, limit: int, on_bytes: OnBytes) -> None:
        """Stream a download to a file that must not exist; nothing is left behind on failure.

        Args:
            download: One of `downloads`.
            target: Appears when the whole file is on the disk.
            limit: Largest file in bytes.
            on_bytes: Told how many bytes came of how many; what it raises ends the download.

        Raises:
            CloudRejected: larger than `limit` bytes, or an HTML page instead of a file.
            CloudUnavailable: cut short (fewer bytes than announced), too slow.
            StorageUnavailable: the disk does not take it.
        """
        part = target.with_name(f".{target.name}.part")
        what = f"the file {download.type!r}"
        try:
            self._stream(download.link, what, part, limit, on_bytes)
            part.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            room = "; make room" if error.errno in _FULL else ""
            raise StorageUnavailable(
                f"{target} cannot be written: {error.strerror}{room}"
            ) from None
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def _stream(self, link: str, what: str, part: Path, limit: int, on_bytes: OnBytes) -> None:
        too_large = CloudRejected(f"{what} is larger than {limit:,} bytes: it is no model for here")
        with self._server.download(link, what) as transfer, part.open("wb") as file:
            if transfer.total is not None and transfer.total > limit:
                raise too_large
            for chunk in transfer.chunks:
                if file.tell() + len(chunk) > limit:
                    raise too_large
                file.write(chunk)
                on_bytes(transfer.done, transfer.total)
            file.flush()
            os.fsync(file.fileno())

    # -- training -----------------------------------------------------------------------------

    def start_training(self, project: int, impulse: int) -> int:
        """Retrain with the last parameters; return the job."""
        path = f"/api/{project}/jobs/retrain"
        answer = self._server.post(path, "a training", {"impulseId": impulse})
        return project_answers.started_job(answer, f"POST {path}")

    def active_training(self, project: int) -> TrainingJob | None:
        """Return a training that runs or waits, whoever started it."""
        path = f"/api/{project}/jobs"
        answer = self._server.get(path, "the active jobs")
        return project_answers.active_training(answer, f"GET {path}")

    def training(self, project: int, job: int) -> TrainingJob:
        """Return how a job stands."""
        path = f"/api/{project}/jobs/{job}/status"
        answer = self._server.get(path, f"the state of job {job}")
        return project_answers.job(answer, f"GET {path}")

    def training_log(self, project: int, job: int) -> tuple[LogLine, ...]:
        """Return the lines that a job printed (the last 1000), oldest first."""
        path = f"/api/{project}/jobs/{job}/stdout"
        answer = self._server.get(path, f"the log of job {job}", {"limit": LOG_LINES})
        return project_answers.log_lines(answer, f"GET {path}")

    def cancel_training(self, project: int, job: int) -> None:
        """Stop a job."""
        self._server.post(f"/api/{project}/jobs/{job}/cancel", f"an end of job {job}")

    # -- samples ------------------------------------------------------------------------------

    def find_sample(self, project: int, file_name: str) -> int | None:
        """Return the id of an uploaded picture, or None."""
        path = f"/api/{project}/raw-data"
        stem = file_name.rpartition(".")[0] or file_name
        for category in CATEGORIES:
            query = {"category": category, "filename": stem, "limit": LIKE_NAMED, "offset": 0}
            answer = self._server.get(path, f"the picture {file_name}", query)
            found = project_answers.sample(answer, f"GET {path}", file_name)
            if found is not None:
                return found
        return None


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
