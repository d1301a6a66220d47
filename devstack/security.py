"""What a client must present to the broker, and the certificates and user made for it."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import Any, Literal

from devstack.errors import DevstackError

Security = Literal["plaintext", "tls", "sasl_tls"]
PROTOCOLS: dict[Security, str] = {"plaintext": "PLAINTEXT", "tls": "SSL", "sasl_tls": "SASL_SSL"}
MECHANISM = "SCRAM-SHA-512"
USERNAME = "driftline"
PASSWORD = "not-a-secret-on-loopback"
VALID_FOR = datetime.timedelta(days=30)


def client_settings(security: Security, ca_file: Path) -> dict[str, Any]:
    """Return the aiokafka arguments that open a connection with this security."""
    settings: dict[str, Any] = {"security_protocol": PROTOCOLS[security]}
    if security != "plaintext":
        settings["ssl_context"] = ssl.create_default_context(cafile=str(ca_file))
    if security == "sasl_tls":
        settings |= {
            "sasl_mechanism": MECHANISM,
            "sasl_plain_username": USERNAME,
            "sasl_plain_password": PASSWORD,
        }
    return settings


def listener_properties(security: Security, keystore: Path) -> dict[str, str]:
    """Return the broker properties of the listener named CLIENT."""
    properties = {}
    if security != "plaintext":
        properties["listener.name.client.ssl.keystore.type"] = "PEM"
        properties["listener.name.client.ssl.keystore.location"] = str(keystore)
    if security == "sasl_tls":
        properties["sasl.enabled.mechanisms"] = MECHANISM
        properties["listener.name.client.scram-sha-512.sasl.jaas.config"] = (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        )
    return properties


def make_certificates(ca_file: Path, keystore: Path) -> None:
    """Write a fresh authority's certificate, and the broker's key and certificate for 127.0.0.1.

    Raises
    ------
    DevstackError
        The ``cryptography`` package is not installed.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise DevstackError("a broker with TLS needs certificates: pip install cryptography") from error

    def certificate(
        name: str, key: ec.EllipticCurvePrivateKey, signer: ec.EllipticCurvePrivateKey, authority: bool
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        loopback = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        usage = x509.KeyUsage(True, False, False, False, False, authority, authority, False, False)
        return (
            x509.CertificateBuilder()
            .subject_name(common_name(name))
            .issuer_name(common_name("devstack authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + VALID_FOR)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
            .add_extension(x509.SubjectAlternativeName(loopback), critical=False)
            .sign(signer, hashes.SHA256())
        )

    def common_name(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])

    authority_key = ec.generate_private_key(ec.SECP256R1())
    broker_key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    authority = certificate("devstack authority", authority_key, authority_key, True)
    broker = certificate("devstack broker", broker_key, authority_key, False)
    private = broker_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    ca_file.write_bytes(authority.public_bytes(pem))
    keystore.touch(mode=0o600)
    keystore.write_bytes(private + broker.public_bytes(pem) + authority.public_bytes(pem))
