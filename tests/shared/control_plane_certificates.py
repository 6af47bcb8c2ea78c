"""Certificates of the test control plane: an authority, the apiserver's certificate, the key of service accounts."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_DAY = datetime.timedelta(days=1)


def write_certificates(folder: Path) -> None:
    """Write ca.crt, apiserver.crt, apiserver.key and accounts.key (P-256, valid for a day) into `folder`."""
    authority, server, accounts = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    root = _certificate("test authority", authority).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    addresses = [x509.DNSName(name) for name in _NAMES]
    names = x509.SubjectAlternativeName([*addresses, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    issued = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    signed = {
        "ca.crt": root.add_extension(identifier, critical=False).add_extension(_signs(), critical=True),
        "apiserver.crt": _certificate("kube-apiserver", server)
        .add_extension(names, critical=False)
        .add_extension(issued, critical=False),
    }
    for file, certificate in signed.items():
        signature = certificate.sign(authority, hashes.SHA256())
        (folder / file).write_bytes(signature.public_bytes(serialization.Encoding.PEM))
    _write_key(folder / "apiserver.key", server)
    _write_key(folder / "accounts.key", accounts)


def _certificate(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(_named("test authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY / 24)
        .not_valid_after(now + _DAY)
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _signs() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    private = serialization.PrivateFormat.TraditionalOpenSSL
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
