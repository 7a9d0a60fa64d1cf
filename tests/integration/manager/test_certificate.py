"""HTTPS: a certificate made here or given, over real connections."""

import asyncio
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nxai_common.errors import ConfigurationError
from nxai_manager.adapters import certificate as module
from nxai_manager.adapters.certificate import RENEW_BEFORE, VALID, Certificate

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Clock:
    """What the box believes of the time."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def made(folder: Path, clock: Clock | None = None) -> Certificate:
    return Certificate(folder, now=clock or Clock(), look_every_s=0)


def written(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


async def met(context: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> bytes:
    """Connect as a browser does; return the certificate that the server showed (DER)."""

    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=client, server_hostname=name
        )
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    assert isinstance(shown, bytes)
    return shown


def shown_by(context: ssl.SSLContext, name: str = "localhost") -> x509.Certificate:
    client = ssl.create_default_context()
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    return x509.load_der_x509_certificate(asyncio.run(met(context, client, name)))


def signed(
    key: PrivateKey,
    name: str = "camera.example",
    begins: timedelta = timedelta(days=-1),
    ends: timedelta = timedelta(days=90),
) -> bytes:
    """Return a certificate as somebody's own authority gives it (PEM)."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    )
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def private(key: PrivateKey, password: bytes | None = None) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()
        if password is None
        else serialization.BestAvailableEncryption(password),
    )


KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


def given(folder: Path, clock: Clock | None = None) -> Certificate:
    folder.mkdir(exist_ok=True)
    for name, content in (("box.crt", signed(KEY)), ("box.key", private(KEY))):
        if not (folder / name).exists():
            (folder / name).write_bytes(content)
    return Certificate(
        folder / "state",
        folder / "box.crt",
        folder / "box.key",
        now=clock or Clock(),
        look_every_s=0,
    )


# -- made here ------------------------------------------------------------------------------------


def test_made_certificate_is_good_for_the_names_of_this_box(tmp_path: Path) -> None:
    context = made(tmp_path / "new" / "state").context()
    path = tmp_path / "new" / "state" / "https.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    client = ssl.create_default_context(cafile=str(path))
    for name in ("localhost", "127.0.0.1", socket.gethostname()):
        asyncio.run(met(context, client, name))
    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(met(context, client, "elsewhere.example"))


def test_made_certificate_is_as_browsers_and_phones_want_it(tmp_path: Path) -> None:
    made(tmp_path).context()
    found = written(tmp_path / "https.pem")
    key = found.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert found.not_valid_after_utc - found.not_valid_before_utc == VALID <= timedelta(days=825)
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert {"127.0.0.1", "::1"} <= addresses
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            asked.connect(("192.0.2.1", 9))  # sends nothing, and tells by which address it would
            assert asked.getsockname()[0] in addresses
        except OSError:
            pass  # a machine without a network


def test_made_certificate_stays_until_shortly_before_its_end(tmp_path: Path) -> None:
    clock = Clock()
    first = shown_by(made(tmp_path, clock).context())
    assert shown_by(made(tmp_path, clock).context()) == first
    clock.now = first.not_valid_after_utc - RENEW_BEFORE - timedelta(seconds=1)
    assert shown_by(made(tmp_path, clock).context()) == first
    clock.now = first.not_valid_after_utc - RENEW_BEFORE
    assert shown_by(made(tmp_path, clock).context()) != first


def test_made_certificate_is_renewed_while_it_is_served(tmp_path: Path) -> None:
    clock = Clock()
    certificate = made(tmp_path, clock)
    context = certificate.context()
    first = shown_by(context)
    assert certificate.problem == ""
    clock.now = first.not_valid_after_utc - timedelta(days=1)
    second = shown_by(context)
    assert second != first
    assert second.not_valid_after_utc > clock.now + RENEW_BEFORE
    assert shown_by(context) == second
    assert certificate.problem == ""


def test_box_that_hears_the_time_late_makes_another_one(tmp_path: Path) -> None:
    clock = Clock()
    clock.now = datetime(2000, 1, 1, tzinfo=UTC)
    context = made(tmp_path, clock).context()
    first = shown_by(context)
    clock.now = datetime.now(UTC)
    second = shown_by(context)
    assert second != first
    clock.now = datetime(2020, 1, 1, tzinfo=UTC)  # it was wrong the other way
    assert shown_by(context).not_valid_before_utc < clock.now


@pytest.mark.parametrize("content", [b"", b"nothing", signed(KEY), private(KEY)])
def test_damaged_made_certificate_is_made_anew(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "https.pem").write_bytes(content)
    assert shown_by(made(tmp_path).context()) == written(tmp_path / "https.pem")
    assert "https.pem holds no" in caplog.text
    assert "making another one" in caplog.text


def test_made_certificate_with_the_key_of_another_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "https.pem").write_bytes(private(OTHER) + signed(KEY))
    with pytest.raises(ConfigurationError, match="does not belong to the certificate"):
        made(tmp_path).context()


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"https.pem cannot be written: File exists; make"):
        made(tmp_path / "file").context()


def test_nothing_old_is_spoken(tmp_path: Path) -> None:
    context = made(tmp_path).context()
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


# -- given ----------------------------------------------------------------------------------------


def test_given_certificate_is_shown(tmp_path: Path) -> None:
    certificate = given(tmp_path)
    context = certificate.context()
    assert shown_by(context) == written(tmp_path / "box.crt")
    client = ssl.create_default_context(cafile=str(tmp_path / "box.crt"))
    asyncio.run(met(context, client, "camera.example"))
    assert certificate.problem == ""
    assert not (tmp_path / "state").exists()


def test_key_may_be_in_the_file_of_the_certificate(tmp_path: Path) -> None:
    path = tmp_path / "both.pem"
    path.write_bytes(signed(KEY) + private(KEY))
    certificate = Certificate(tmp_path, path)
    assert shown_by(certificate.context()).public_key() == KEY.public_key()
    path.write_bytes(signed(KEY))
    with pytest.raises(ConfigurationError, match=r"both.pem holds no private key .*name its file"):
        Certificate(tmp_path, path).context()


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_new_files_are_taken_up_while_they_are_served(tmp_path: Path, kind: str) -> None:
    certificate = given(tmp_path)
    context = certificate.context()
    first = shown_by(context)
    key = OTHER if kind == "ec" else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (tmp_path / "box.crt").write_bytes(signed(key))  # the key comes a moment later
    assert shown_by(context) == first
    assert "does not belong to the certificate" in certificate.problem
    assert certificate.problem.endswith("; the certificate from before stays in use")
    (tmp_path / "box.key").write_bytes(private(key))
    assert shown_by(context) == written(tmp_path / "box.crt")
    assert shown_by(context, "127.0.0.1") == written(tmp_path / "box.crt")  # without a name (SNI)
    assert certificate.problem == ""


def test_files_that_vanish_or_break_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = given(tmp_path)
    context = certificate.context()
    first = shown_by(context)
    (tmp_path / "box.key").rename(tmp_path / "away")
    for _ in range(3):
        assert shown_by(context) == first
    assert "box.key does not exist; put it there, or change" in certificate.problem
    assert caplog.text.count("box.key does not exist") == 1
    (tmp_path / "away").rename(tmp_path / "box.key")
    assert shown_by(context) == first
    assert certificate.problem == ""


def test_files_are_not_looked_at_for_every_connection(tmp_path: Path) -> None:
    given(tmp_path)
    certificate = Certificate(tmp_path, tmp_path / "box.crt", tmp_path / "box.key")
    context = certificate.context()
    first = shown_by(context)
    (tmp_path / "box.crt").write_bytes(signed(OTHER))
    (tmp_path / "box.key").write_bytes(private(OTHER))
    assert shown_by(context) == first  # looked at moments ago
    certificate.look()
    assert certificate.problem == ""


def test_end_of_a_given_certificate_is_told(tmp_path: Path) -> None:
    clock = Clock()
    certificate = given(tmp_path, clock)
    assert certificate.problem == ""
    certificate.context()
    assert certificate.problem == ""
    ends = written(tmp_path / "box.crt").not_valid_after_utc
    clock.now = ends
    assert f"box.crt ended on {ends:%Y-%m-%d}: browsers refuse it; renew it" in certificate.problem
    clock.now = datetime(1970, 1, 1, tzinfo=UTC)
    assert "and the clock of this box says 1970-01-01: set the clock" in certificate.problem


def test_expired_certificate_is_served_and_told(tmp_path: Path) -> None:
    tmp_path.joinpath("box.crt").write_bytes(signed(KEY, ends=timedelta(hours=-1)))
    certificate = given(tmp_path)
    assert shown_by(certificate.context()) == written(tmp_path / "box.crt")
    assert "browsers refuse it; renew it" in certificate.problem


@pytest.mark.parametrize(
    ("crt", "key", "said"),
    [
        (None, b"", r"box.crt does not exist; put it there, or change NXAI_MANAGER_CERTIFICATE$"),
        (signed(KEY), None, r"box.key does not exist; .* change NXAI_MANAGER_CERTIFICATE_KEY$"),
        (b"", private(KEY), r"box.crt holds no certificate in PEM form"),
        (b"\x30\x82\x01\x00", private(KEY), r"openssl x509 -inform der -in box.crt -out"),
        (private(KEY), private(KEY), r"box.crt holds no certificate in PEM form"),
        (signed(KEY), b"", r"box.key holds no private key in PEM form"),
        (signed(KEY), signed(KEY), r"box.key holds no private key in PEM form"),
        (signed(KEY), private(OTHER), r"box.key does not belong to the certificate in .*box.crt"),
        (
            signed(KEY),
            private(KEY, b"hunter2"),
            r"box.key is locked with a password, .*: openssl pkey -in box.key -out key.pem",
        ),
        (b" " * 1024 * 1025, private(KEY), r"box.crt is too large for a certificate"),
    ],
)
def test_wrong_files_are_refused_with_the_reason(
    tmp_path: Path, crt: bytes | None, key: bytes | None, said: str
) -> None:
    certificate = given(tmp_path)
    for name, content in (("box.crt", crt), ("box.key", key)):
        (tmp_path / name).unlink()
        if content is not None:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=said):
        certificate.context()


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    certificate = given(tmp_path)
    (tmp_path / "box.key").unlink()
    (tmp_path / "box.key").mkdir()
    with pytest.raises(ConfigurationError, match=r"box.key cannot be read: Is a directory; let"):
        certificate.context()


def test_key_without_a_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="NXAI_MANAGER_CERTIFICATE_KEY is set, and"):
        Certificate(tmp_path, None, tmp_path / "box.key").context()


def test_files_that_change_while_they_are_read_are_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = given(tmp_path)
    read_key = module._read_key

    def then_changed(path: Path, *, alone: bool) -> object:
        key = read_key(path, alone=alone)
        path.write_bytes(private(OTHER))
        return key

    monkeypatch.setattr(module, "_read_key", then_changed)
    with pytest.raises(ConfigurationError, match=r"box.crt cannot be used"):
        certificate.context()
