"""Make the certificate that subjects serve HTTPS with: self-signed, for one run."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench_action.engine.protocol import Certificate

_EARLY, _LATE = timedelta(days=1), timedelta(days=7)  # clocks of machines differ, and no run takes so long


def make_certificate(hosts: Sequence[str]) -> Certificate:
    """Make a certificate for these host names and the loopback address. With P-256, its handshake costs little."""
    key, name, now = ec.generate_private_key(ec.SECP256R1()), _make_name("bench-action"), datetime.now(UTC)
    names = [x509.DNSName(host) for host in dict.fromkeys((*hosts, "localhost"))]
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLY)
        .not_valid_after(now + _LATE)
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Certificate(certificate.public_bytes(pem).decode(), private.decode())


def _make_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
