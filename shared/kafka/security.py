"""How to reach the brokers: the arguments of every aiokafka client, and a first connection.

aiokafka says "Unable to bootstrap" whatever the cause; :func:`check_connection` tries first and names
the setting at fault.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.helpers import create_ssl_context
from aiokafka.protocol.metadata import MetadataRequest

from shared.errors import ConfigError, ServiceError, TransientError
from shared.settings.service import ENV_PREFIX, ServiceSettings

_CONNECT_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 1.0


def client_options(settings: ServiceSettings) -> dict[str, Any]:
    """Return the arguments that aiokafka's consumer, producer and admin client have in common.

    Raises
    ------
    ConfigError
        A certificate or key file cannot be used.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "client_id": f"driftline-{settings.service or 'cli'}",
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        options["ssl_context"] = _ssl_context(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        password = settings.kafka_sasl_password
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": password.get_secret_value() if password else None,
        }
    return options


async def check_connection(options: dict[str, Any], *, timeout: float = _CONNECT_SECONDS) -> None:
    """Connect and log in once, to any of the brokers, so that a mistake is named before the start.

    Parameters
    ----------
    options
        From :func:`client_options`.
    timeout
        Seconds per broker.

    Raises
    ------
    ConfigError
        The broker answers, but not with these settings: each message names them.
    TransientError
        No broker can be reached.
    """
    failures: list[ServiceError] = []
    for server in options["bootstrap_servers"].split(","):
        try:
            await _connect(server, options, timeout)
        except (OSError, KafkaError, ValueError) as error:
            failures.append(_explain(error, server, options))
        else:
            return
    wrong = [
        problem for failure in failures if isinstance(failure, ConfigError) for problem in failure.problems
    ]
    if wrong:
        raise ConfigError(list(dict.fromkeys(wrong)))
    raise TransientError("; ".join(failure.message for failure in failures))


async def _connect(server: str, options: dict[str, Any], timeout: float) -> None:
    """Log in and ask for metadata: a broker that wants a login closes the connection only then."""
    host, _, port = server.rpartition(":")
    arguments = {key: value for key, value in options.items() if key != "bootstrap_servers"}
    connection = AIOKafkaConnection(
        host.strip("[]"), int(port), request_timeout_ms=int(timeout * 1000), **arguments
    )
    try:
        async with asyncio.timeout(timeout):
            await connection.connect()
            await connection.send(MetadataRequest([]))
    finally:
        closed = connection.close()
        if connection._protocol is not None:  # else there never was a socket
            await asyncio.wait({closed}, timeout=_CLOSE_SECONDS)


def _ssl_context(settings: ServiceSettings) -> ssl.SSLContext:
    """Return a TLS context with our authorities and, for mutual TLS, our certificate."""
    ca, cert, key = settings.kafka_ssl_ca_file, settings.kafka_ssl_cert_file, settings.kafka_ssl_key_file
    try:
        context: ssl.SSLContext = create_ssl_context(cafile=ca)
    except OSError as error:
        raise _config("ssl_ca_file", f"{ca} holds no PEM certificate: {error}") from error
    if cert:
        try:
            context.load_cert_chain(cert, key, password=_no_password)
        except OSError as error:
            text = f"{cert} and {key} are not a PEM certificate and its unencrypted key: {error}"
            raise _config("ssl_cert_file", text) from error
    context.check_hostname = settings.kafka_ssl_check_hostname
    return context


def _no_password() -> str:
    """Stand in for OpenSSL's prompt, which would wait at a terminal for ever."""
    return ""


def _explain(error: Exception, server: str, options: dict[str, Any]) -> ServiceError:
    """Return the error that names the setting at fault."""
    protocol, mechanism = options["security_protocol"], options.get("sasl_mechanism")
    match error:
        case SaslAuthenticationFailed():
            user = options["sasl_plain_username"]
            return _config("sasl_password", f"{server} refuses it for the user {user!r} with {mechanism}")
        case UnsupportedSaslMechanismError():
            return _config("sasl_mechanism", f"{server} does not offer {mechanism}")
        case IllegalSaslStateError():
            return _config("security_protocol", f"{server} expects no login, but {protocol} has one")
        case ssl.SSLCertVerificationError(verify_message=reason) if "mismatch" in reason:
            return _config("ssl_check_hostname", f"the certificate of {server} is for another name: {reason}")
        case ssl.SSLCertVerificationError(verify_message=reason):
            return _config("ssl_ca_file", f"does not vouch for the certificate of {server}: {reason}")
        case ssl.SSLError(reason=reason):
            return _config(
                "security_protocol", f"{protocol} asks for TLS, and {server} fails in it: {reason}"
            )
        case KafkaConnectionError() | ConnectionResetError():
            text = f"{server} closes the connection; is {ENV_PREFIX}KAFKA_SECURITY_PROTOCOL={protocol} right?"
        case TimeoutError():
            text = f"{server} does not answer in time"
        case _:
            text = f"{server} cannot be reached: {error}"
    return TransientError(f"{ENV_PREFIX}KAFKA_BOOTSTRAP_SERVERS: {text}")


def _config(key: str, text: str) -> ConfigError:
    return ConfigError([f"{ENV_PREFIX}KAFKA_{key.upper()}: {text}"])
