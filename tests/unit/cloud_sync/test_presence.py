"""Which processes run, and which models they have."""

from datetime import UTC, datetime

import pytest

from nxai_cloud_sync.parts import Presence
from nxai_common.contracts.status import ModelStatus, ServiceState, Status

pytestmark = pytest.mark.unit

AT = datetime(2026, 1, 1, tzinfo=UTC)


def status(
    service: str, *models: str, state: ServiceState = ServiceState.RUNNING, role: str = "inference"
) -> Status:
    return Status(
        service=service,
        role=role,
        state=state,
        at=AT,
        started_at=AT,
        models=tuple(ModelStatus(model=model, state="ready") for model in models),
    )


def test_models_of_all_processes_of_the_role() -> None:
    presence = Presence("inference")
    assert (presence.any(), presence.models()) == (False, frozenset())
    presence.see(status("capture", "x", role="capture"))
    assert not presence.any()
    presence.see(status("inference", "a", "b"))
    presence.see(status("inference-2", "b", "c", state=ServiceState.DEGRADED))
    assert presence.any()
    assert presence.models() == {"a", "b", "c"}
    presence.see(status("inference", "a"))
    assert presence.models() == {"a", "b", "c"}
    presence.see(status("inference-2", state=ServiceState.OFFLINE))
    assert presence.models() == {"a"}
    presence.see(status("inference", "a", state=ServiceState.STARTING))
    assert (presence.any(), presence.models()) == (False, frozenset())
