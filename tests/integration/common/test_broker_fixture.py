"""The broker that other tests rely on is what it says it is."""

from datetime import UTC, datetime

from nxai_common.bus.ports import Subscription
from nxai_common.contracts.status import ServiceState, Status
from support.broker import Broker
from support.waiting import wait_for


def status() -> Status:
    now = datetime.now(UTC)
    return Status(service="probe", role="probe", state=ServiceState.RUNNING, at=now, started_at=now)


def test_retained_message_survives_a_proper_restart(broker: Broker) -> None:
    sent = status()
    with broker.bus("writer") as bus:
        wait_for(lambda: bus.connected)
        bus.publish(sent)
        wait_for(lambda: not bus._queue.unfinished, what="the broker has it")
    broker.stop()
    broker.start()
    with broker.bus("reader") as bus:
        delivery = bus.subscribe(Subscription(Status)).receive(15)
    assert delivery is not None
    assert delivery.message == sent


def test_wrong_password_is_refused(broker: Broker) -> None:
    broker.password = "wrong"
    with broker.bus("stranger") as bus:
        wait_for(lambda: "password" in bus.trouble)
        assert not bus.connected
