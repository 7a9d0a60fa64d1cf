"""Settings from the environment: named, checked, never shown when secret."""

from pathlib import Path
from typing import ClassVar, Self

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import SecretStr, model_validator

from nxai_common.contracts.topics import check_level
from nxai_common.errors import ConfigurationError
from nxai_common.settings import (
    ServiceSettings,
    describe,
    effective,
    instance_of_host,
    load,
    secrets_of,
    variables,
)


class ProbeSettings(ServiceSettings):
    """Settings of a service that does not exist."""

    role: ClassVar[str] = "capture"

    folder: Path = Path("data")
    """Where things lie."""
    providers: tuple[str, ...] = ("cpu",)
    """In order of preference."""
    limit: int | None = None
    """At most so many."""
    exact: bool = False
    """Whether to be exact."""
    token: SecretStr | None = None
    """Lets somebody in."""


class CloudSettings(ServiceSettings):
    """A role of two words."""

    role: ClassVar[str] = "cloud-sync"

    folder: Path = Path("data")
    """Where things lie."""


def refusal(environ: dict[str, str], settings: type[ServiceSettings] = ProbeSettings) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(settings, environ)
    return str(caught.value)


def test_nothing_set_gives_the_defaults() -> None:
    settings = load(ProbeSettings, {"PATH": "/bin", "NX": "1"})
    assert settings == ProbeSettings()
    assert settings.instance == "capture"


def test_common_and_own_fields_have_their_own_prefix() -> None:
    settings = load(
        ProbeSettings,
        {
            "NXAI_DEVICE": "line-3",
            "NXAI_HEARTBEAT_S": "0.5",
            "NXAI_CAPTURE_FOLDER": "/srv",
            "NXAI_CAPTURE_PROVIDERS": "tensorrt, cuda,",
            "NXAI_CAPTURE_LIMIT": "7",
            "NXAI_CAPTURE_EXACT": "true",
        },
    )
    assert (settings.device, settings.heartbeat_s, settings.folder) == ("line-3", 0.5, Path("/srv"))
    assert (settings.providers, settings.limit) == (("tensorrt", "cuda"), 7)
    assert settings.exact is True
    assert load(CloudSettings, {"NXAI_CLOUD_SYNC_FOLDER": "x"}).folder == Path("x")


def test_empty_variable_counts_as_unset() -> None:
    assert load(ProbeSettings, {"NXAI_DEVICE": "", "NXAI_CAPTURE_LIMIT": ""}) == ProbeSettings()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("NXAI_BROKR", "did you mean NXAI_BROKER?"),
        ("NXAI_CAPTURE_FOLDR", "did you mean NXAI_CAPTURE_FOLDER?"),
        ("NXAI_FOLDER", "did you mean"),
        ("NXAI_CAPTURE_DEVICE", "did you mean"),
        ("NXAI_Q", "`nxai-capture --help` lists the settings"),
    ],
)
def test_misspelt_variable_is_refused_with_the_nearest_name(name: str, hint: str) -> None:
    text = refusal({name: "s3cret"})
    assert text.startswith(f"{name}: no such setting; {hint}")
    assert "s3cret" not in text


def test_variables_of_other_roles_and_of_the_tests_are_not_ours_to_judge() -> None:
    environ = {
        "NXAI_PUBLISHER_DATABASE": "x",
        "NXAI_CLOUD_SYNC_FOLDER": "x",
        "NXAI_TEST_MOSQUITTO_IMAGE": "x",
        "NXAI_REQUIRE_SHARED": "1",
    }
    assert load(ProbeSettings, environ) == ProbeSettings()


def test_every_wrong_variable_is_named_with_its_value_and_what_to_do() -> None:
    text = refusal(
        {
            "NXAI_DEVICE": "My Box",
            "NXAI_HEARTBEAT_S": "soon",
            "NXAI_LOG_LEVEL": "loud",
            "NXAI_CAPTURE_LIMIT": "many",
            "NXAI_BROKR": "x",
        }
    )
    assert "NXAI_DEVICE=My Box: device 'My Box' cannot be used in a topic: use 1 to 64 of" in text
    assert "NXAI_HEARTBEAT_S=soon: Input should be a valid number" in text
    assert "NXAI_LOG_LEVEL=loud: Input should be 'debug', 'info', 'warning' or 'error'" in text
    assert "NXAI_CAPTURE_LIMIT=many: Input should be a valid integer" in text
    assert "NXAI_BROKR: no such setting" in text


def test_value_that_may_hold_a_password_is_not_repeated() -> None:
    assert "hunter2" not in refusal({"NXAI_CAPTURE_LIMIT": "mqtt://joe:hunter2@host"})


def test_secrets_are_masked_wherever_settings_are_shown() -> None:
    settings = load(
        ProbeSettings, {"NXAI_BROKER_PASSWORD": "hunter2", "NXAI_CAPTURE_TOKEN": "t0ken"}
    )
    lines = effective(settings).splitlines()
    assert "NXAI_BROKER_PASSWORD=***" in lines
    assert "NXAI_CAPTURE_TOKEN=***" in lines
    assert "NXAI_DEVICE=box" in lines
    assert "NXAI_CAPTURE_PROVIDERS=cpu" in lines
    assert "NXAI_CAPTURE_EXACT=false" in lines
    assert "NXAI_BROKER_USERNAME=" in lines
    for shown in (*lines, repr(settings), str(settings)):
        assert "hunter2" not in shown
        assert "t0ken" not in shown
    assert set(secrets_of(settings)) == {"hunter2", "t0ken"}
    assert "NXAI_BROKER_PASSWORD=" in effective(ProbeSettings()).splitlines()


def test_help_lists_name_default_and_meaning_of_every_setting() -> None:
    text = describe(ProbeSettings)
    for variable in variables(ProbeSettings):
        assert variable.name in text
        assert variable.doc, f"{variable.name} has no docstring"
        assert variable.doc in text
    assert "NXAI_CAPTURE_FOLDER (default data)\n      Where things lie." in text


@given(password=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
@example(password="pass word ")
@example(password="#'\"\\$%:@/")
@example(password="a\rb\nc")
def test_password_file_may_hold_any_characters(
    password: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assume(not password.endswith(("\r", "\n")))  # cannot be told from the end of the line
    path = tmp_path_factory.getbasetemp() / "password"
    for ending in ("", "\n", "\r\n"):
        path.write_bytes((password + ending).encode())
        settings = load(ProbeSettings, {"NXAI_BROKER_PASSWORD_FILE": str(path)})
        assert settings.broker_password is not None
        assert settings.broker_password.get_secret_value() == password


def test_password_file_faults_name_the_file_and_not_its_content(tmp_path: Path) -> None:
    missing, empty, binary = tmp_path / "missing", tmp_path / "empty", tmp_path / "binary"
    empty.write_text("\n")
    binary.write_bytes(b"secret\xff")
    for path, reason in (
        (missing, "cannot be read: No such file or directory"),
        (empty, "the file is empty"),
        (binary, "cannot be read: not UTF-8 text"),
        (tmp_path, "cannot be read: Is a directory"),
    ):
        text = refusal({"NXAI_BROKER_PASSWORD_FILE": str(path)})
        assert text == f"NXAI_BROKER_PASSWORD_FILE={path}: {reason}"


def test_password_given_twice_is_refused(tmp_path: Path) -> None:
    text = refusal(
        {"NXAI_BROKER_PASSWORD": "hunter2", "NXAI_BROKER_PASSWORD_FILE": str(tmp_path / "p")}
    )
    assert "keep one of them" in text
    assert "hunter2" not in text


@given(host=st.text())
@example("Box.LOCAL")
def test_automatic_instance_is_a_level_whatever_the_host_is_called(host: str) -> None:
    assert check_level(instance_of_host("inference", host), "instance").startswith("inference-")


def test_automatic_instance_names_role_and_host() -> None:
    assert instance_of_host("inference", "Box.LOCAL") == "inference-box-local"
    assert load(ProbeSettings, {"NXAI_INSTANCE": "auto"}).instance.startswith("capture-")
    assert load(ProbeSettings, {"NXAI_INSTANCE": "capture-2"}).instance == "capture-2"


class FussySettings(ServiceSettings):
    """Settings that must fit together."""

    role: ClassVar[str] = "capture"

    low: int = 1
    """Lower bound."""
    high: int = 2
    """Upper bound."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low > self.high:
            raise ValueError("NXAI_CAPTURE_LOW must not be above NXAI_CAPTURE_HIGH")
        return self


def test_settings_that_do_not_fit_together_are_refused() -> None:
    text = refusal({"NXAI_CAPTURE_LOW": "3"}, FussySettings)
    assert text == "NXAI_CAPTURE_LOW must not be above NXAI_CAPTURE_HIGH"


def test_instance_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(ValueError, match="instance"):
        ProbeSettings.model_validate({"instance": 7})
    with pytest.raises(ValueError, match="dictionary"):
        ProbeSettings.model_validate(7)


def test_without_an_argument_the_environment_of_the_process_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NXAI_DEVICE", "from-the-process")
    assert load(ProbeSettings).device == "from-the-process"
