"""A certificate authority for one throw-away cluster, and the certificates that it signs."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = timedelta(days=30)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Identity:
    """Paths of a certificate and its key, both PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """An authority whose files, and those of the certificates that it signs, are in `folder`."""

    folder: Path

    @cached_property
    def identity(self) -> Identity:
        identity = Identity(self.folder / "ca.crt", self.folder / "ca.key")
        if not identity.certificate.exists():
            key = _write_key(identity.key)
            name = _subject("throw-away cluster", ())
            _write_certificate(_builder(name, name, key, authority=True).sign(key, hashes.SHA256()), identity)
        return identity

    def signed(self, name: str, *, groups: tuple[str, ...] = (), hosts: tuple[str, ...] = ()) -> Identity:
        """A certificate for the user `name` in the Kubernetes `groups`, or for a server at `hosts`."""
        identity = Identity(
            self.folder / f"{name.replace(':', '-')}.crt", self.folder / f"{name.replace(':', '-')}.key"
        )
        if identity.certificate.exists():
            return identity
        root = x509.load_pem_x509_certificate(self.identity.certificate.read_bytes())
        signer = serialization.load_pem_private_key(self.identity.key.read_bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        key = _write_key(identity.key)
        builder = _builder(_subject(name, groups), root.subject, key, authority=False)
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
            )
        _write_certificate(builder.sign(signer, hashes.SHA256()), identity)
        return identity

    def token_key(self) -> Path:
        """The RSA key that signs service account tokens. The file of the private key contains the public key too."""
        path = self.folder / "service-accounts.key"
        if not path.exists():
            _write_private(path, rsa.generate_private_key(public_exponent=65537, key_size=2048))
        return path


def _subject(name: str, groups: tuple[str, ...]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, *, authority: bool) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if authority:
        return builder
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)


def _write_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    _write_private(path, key)
    return key


def _write_private(path: Path, key: Key) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )


def _write_certificate(certificate: x509.Certificate, identity: Identity) -> None:
    identity.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
