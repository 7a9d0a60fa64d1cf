"""What HTTPS needs: the certificate that a person gave, or one made here."""

import contextlib
import fcntl
import ipaddress
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nxai_common.errors import ConfigurationError
from nxai_manager.adapters.secrets_directory import write_private

log = logging.getLogger(__name__)

NAME: Final = "https.pem"
"""Key and certificate in one file: one rename changes both."""
VALID: Final = timedelta(days=825)
"""Apple's devices take none that is longer."""
RENEW_BEFORE: Final = timedelta(days=30)
BACKDATED: Final = timedelta(days=1)
"""Clocks in a house differ."""
LOOK_EVERY_S: Final = 10.0
MAX_BYTES: Final = 1024 * 1024
SET: Final = "NXAI_MANAGER_CERTIFICATE"
SET_KEY: Final = "NXAI_MANAGER_CERTIFICATE_KEY"
_LONGEST_COMMON_NAME: Final = 64
_SIOCGIFADDR: Final = 0x8915
"""Linux: IPv4 address of an interface (netdevice(7))."""
_IF_INET6: Final = Path("/proc/net/if_inet6")


@dataclass(frozen=True, slots=True)
class _Loaded:
    context: ssl.SSLContext
    begins: datetime
    ends: datetime
    signature: tuple[object, ...]


class Certificate:
    """Gives the server its `ssl.SSLContext`, and follows the files while it serves.

    New files are taken up at the next handshake. Where they are wrong, the ones before stay in
    force, and `problem` says why.
    """

    def __init__(
        self,
        folder: Path,
        certificate: Path | None = None,
        key: Path | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        """Load nothing yet.

        Args:
            folder: Where a certificate that is made here is kept.
            certificate: PEM file of the certificate and those that signed it; None: one is made.
            key: PEM file of its private key; None: it is in the same file.
            now: Wall clock, UTC.
            look_every_s: Between two looks at the files.
        """
        self._own = folder / NAME
        self._certificate = certificate
        self._key = key
        self._now = now
        self._look_every_s = look_every_s
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None
        self._looked_at = float("-inf")
        self._refused: tuple[object, ...] | None = None
        """Signature of files that are wrong."""
        self._reason = ""

    def context(self) -> ssl.SSLContext:
        """Return what the server uses for all its connections.

        Raises:
            ConfigurationError: the files are wrong, or cannot be written; says what to do.
        """
        loaded = self._load()
        with self._lock:
            self._loaded, self._looked_at = loaded, time.monotonic()
        front = _context(*self._paths())
        front.sni_callback = self._choose
        return front

    @property
    def problem(self) -> str:
        """What a person should know of the certificate, or ''."""
        loaded, now = self._loaded, self._now()
        if self._reason:
            return f"{self._reason}; the certificate from before stays in use"
        if loaded is None:
            return ""
        if now >= loaded.ends:
            return f"{self._paths()[0]} ended on {_day(loaded.ends)}: browsers refuse it; renew it"
        if now < loaded.begins:
            return (
                f"{self._paths()[0]} is valid from {_day(loaded.begins)} on, and the clock of this "
                f"box says {_day(now)}: set the clock, or take another certificate"
            )
        return ""

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _front: ssl.SSLContext) -> None:
        """Give a new connection the newest certificate: called at the beginning of each."""
        self.look()
        if self._loaded is not None:
            connection.context = self._loaded.context

    def look(self) -> None:
        """Take up newer files, and renew a certificate of our own, if it is time to look."""
        with self._lock:
            now = time.monotonic()
            if self._loaded is None or now - self._looked_at < self._look_every_s:
                return
            self._looked_at = now
            signature = self._signature()
            if signature == self._loaded.signature and not self._to_be_renewed():
                self._reason, self._refused = "", None
                return
            if signature == self._refused:
                return
            try:
                self._loaded = self._load()
            except ConfigurationError as error:
                self._reason, self._refused = str(error), signature
                log.warning("%s; the certificate from before stays in use", error)
                return
            self._reason, self._refused = "", None
            log.info("HTTPS uses a new certificate", extra={"ends": _day(self._loaded.ends)})

    def _to_be_renewed(self) -> bool:
        if self._certificate is not None or self._loaded is None:
            return False
        return not _lasts(self._loaded.begins, self._loaded.ends, self._now())

    def _load(self) -> _Loaded:
        if self._certificate is None:
            if self._key is not None:
                raise ConfigurationError(f"{SET_KEY} is set, and {SET} is not: set both or none")
            self._see_to_own()
        signature = self._signature()
        path, key_path = self._paths()
        certificate = _read_certificate(path)
        key = _read_key(path if key_path is None else key_path, alone=key_path is not None)
        if _public(key.public_key()) != _public(certificate.public_key()):
            raise ConfigurationError(
                f"the private key in {key_path or path} does not belong to the certificate in "
                f"{path}: put the pair there that was made together"
            )
        return _Loaded(
            _context(path, key_path),
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
            signature,
        )

    def _paths(self) -> tuple[Path, Path | None]:
        return (self._own, None) if self._certificate is None else (self._certificate, self._key)

    def _signature(self) -> tuple[object, ...]:
        found: list[object] = []
        for path in self._paths():
            with contextlib.suppress(OSError):
                if path is not None:
                    seen = path.stat()
                    found += [seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns]
        return tuple(found)

    def _see_to_own(self) -> None:
        """Make the certificate where there is none that lasts."""
        try:
            certificate = _read_certificate(self._own)
            _read_key(self._own, alone=False)
            if _lasts(
                certificate.not_valid_before_utc, certificate.not_valid_after_utc, self._now()
            ):
                return
        except ConfigurationError as error:
            if self._own.exists():
                log.warning("%s; making another one", error)
        try:
            self._own.parent.mkdir(parents=True, exist_ok=True)
            write_private(self._own, _make(self._now()))
        except OSError as error:
            raise ConfigurationError(
                f"{self._own} cannot be written: {error.strerror}; make room, or give this user "
                "the right to write there"
            ) from error
        log.info("made a certificate for HTTPS; browsers warn of it once", extra={"at": self._own})


def _lasts(begins: datetime, ends: datetime, now: datetime) -> bool:
    """Return whether a certificate made here can stay.

    A box without a battery clock may have made it in 1970, or in a year that is yet to come.
    """
    return begins <= now < ends - RENEW_BEFORE


def _context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without the password, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:  # they changed since they were looked at
        raise ConfigurationError(f"{certificate} cannot be used: {error.strerror}") from None
    return context


def _read(path: Path, setting: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{path} does not exist; put it there, or change {setting}"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}; let the manager's user read it"
        ) from None
    if len(content) > MAX_BYTES:
        raise ConfigurationError(f"{path} is too large for a certificate; change {setting}")
    return content


def _read_certificate(path: Path) -> x509.Certificate:
    content = _read(path, SET)
    try:
        return x509.load_pem_x509_certificates(content)[0]
    except (ValueError, IndexError):
        raise ConfigurationError(
            f"{path} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----); one in DER "
            f"form becomes it by: openssl x509 -inform der -in {path.name} -out certificate.pem"
        ) from None


def _read_key(path: Path, *, alone: bool) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(_read(path, SET_KEY), password=None)
    except TypeError:
        raise ConfigurationError(
            f"the private key in {path} is locked with a password, which nobody can type at the "
            f"start; take it off: openssl pkey -in {path.name} -out key.pem"
        ) from None
    except (ValueError, AttributeError):
        hint = "" if alone else f"; name its file in {SET_KEY}"
        raise ConfigurationError(
            f"{path} holds no private key in PEM form (-----BEGIN PRIVATE KEY-----){hint}"
        ) from None


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _make(now: datetime) -> str:
    """Return a new private key and a certificate that it signed itself, in PEM form."""
    key = ec.generate_private_key(ec.SECP256R1())
    host = socket.gethostname()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "nxai-edge"),
            x509.NameAttribute(NameOID.COMMON_NAME, host[:_LONGEST_COMMON_NAME] or "nxai-edge"),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now - BACKDATED + VALID)
        .add_extension(x509.SubjectAlternativeName(list(_names(host))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()


def _names(host: str) -> Iterator[x509.GeneralName]:
    """Yield by what names and addresses this box is reached."""
    names = ["localhost"]
    if host.isascii() and host not in ("", "localhost"):
        names += [host] if "." in host else [host, f"{host}.local"]
    for name in names:
        yield x509.DNSName(name)
    for address in sorted(_addresses(), key=lambda a: (a.version, int(a))):
        yield x509.IPAddress(address)


def _addresses() -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    found: set[ipaddress.IPv4Address | ipaddress.IPv6Address] = {
        ipaddress.IPv4Address("127.0.0.1"),
        ipaddress.IPv6Address("::1"),
    }
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, interface in socket.if_nameindex():
            with contextlib.suppress(OSError):  # one without an address
                answer = fcntl.ioctl(asked, _SIOCGIFADDR, struct.pack("256s", interface.encode()))
                found.add(ipaddress.IPv4Address(answer[20:24]))
    with contextlib.suppress(OSError):  # no IPv6
        for line in _IF_INET6.read_text(encoding="ascii").splitlines():
            address = ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))
            if not address.is_link_local:  # useless without the name of the viewer's interface
                found.add(address)
    return found


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
