"""Where the broker is, as a person writes it."""

import pytest

from nxai_common.bus.mqtt import BrokerAddress, client_id
from nxai_common.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://127.0.0.1:1883", "127.0.0.1", 1883, False),
        ("mqtt://broker", "broker", 1883, False),
        ("mqtts://broker", "broker", 8883, True),
        ("mqtts://[::1]:9883", "::1", 9883, True),
    ],
)
def test_an_address_is_read(url: str, host: str, port: int, *, tls: bool) -> None:
    assert BrokerAddress.parse(url) == BrokerAddress(host, port, tls)


def test_an_address_reads_as_it_was_written() -> None:
    assert str(BrokerAddress.parse("mqtt://broker:1884")) == "mqtt://broker:1884"
    assert str(BrokerAddress.parse("mqtts://broker")) == "mqtts://broker:8883"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("broker:1883", "write mqtt://HOST:1883"),
        ("http://broker", "write mqtt://HOST:1883"),
        ("mqtt://", "write mqtt://HOST:1883"),
        ("mqtt://broker:99999", "Port out of range"),
        ("mqtt://broker:eins", "Port could not be cast"),
    ],
)
def test_what_is_no_address_is_refused_with_what_to_write(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        BrokerAddress.parse(url)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="NXAI_BROKER_PASSWORD_FILE") as caught:
        BrokerAddress.parse("mqtt://me:hunter2@broker")
    assert "hunter2" not in str(caught.value)


def test_a_client_id_is_stable() -> None:
    assert client_id("box", "inference-2") == "nxai-box-inference-2"
