"""An authority and certificates for tests of TLS, made when they are needed: no secret lies in the tree."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self._key_pem(serialization.NoEncryption())

    def locked_key_pem(self, passphrase: bytes) -> bytes:
        return self._key_pem(serialization.BestAvailableEncryption(passphrase))

    def _key_pem(self, locked: serialization.KeySerializationEncryption) -> bytes:
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Writes both into a folder, the key last; returns their paths."""
        folder.mkdir(exist_ok=True)
        paths = folder / "server.crt", folder / "server.key"
        paths[0].write_bytes(self.certificate_pem)
        paths[1].write_bytes(self.key_pem)
        return paths


class Authority(Pair):
    """Signs certificates for localhost and 127.0.0.1."""

    @classmethod
    def make(cls, name: str = "authority", days: tuple[int, int] = (-1, 30)) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, name, key, days)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    def sign(
        self, name: str, *, days: tuple[int, int] = (-1, 30), use: x509.ObjectIdentifier = SERVER
    ) -> Pair:
        """Makes a certificate, valid from so many days before now to so many after."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        builder = _builder(name, str(issuer), key, days)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        return Pair(builder.sign(self.key, hashes.SHA256()), key)


def _builder(
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey, days: tuple[int, int]
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
