"""The settings that every service has; each service adds its own in a subclass."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, FilePath, JsonValue, SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

ENV_PREFIX: Final = "DRIFTLINE_"
SERVICES: Final = (
    "inference", "shadow", "drift", "alerting", "performance", "gateway", "retraining", "console",
)  # fmt: skip
"""Names that a table of the settings file may have: one file can configure all services."""

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

NO_FLAG: Final[dict[str, JsonValue]] = {"no_flag": True}
"""For ``Field(json_schema_extra=NO_FLAG)``: every user of the machine can read a command line."""


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


CommaSeparated = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""A list in the file; in the environment and in flags its items are separated by commas."""


def _cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "driftline"


def is_secret(info: FieldInfo) -> bool:
    """Return whether a setting is secret."""
    return "SecretStr" in repr(info.annotation)


class ServiceSettings(BaseSettings):
    """What every service needs to know; read it with :func:`shared.settings.load_settings`.

    Constructing it reads neither environment nor files: only ``load_settings`` does.

    Examples
    --------
    >>> settings = ServiceSettings(kafka_bootstrap_servers="broker:9092", redis_url="redis://:pw@cache")
    >>> settings.redis_url
    SecretStr('**********')
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_ignore_empty=True,
        enable_decoding=False,
        extra="forbid",
        frozen=True,
        validate_default=True,
        hide_input_in_errors=True,
    )

    service: ClassVar[str] = ""
    """Name of the service: its table in the settings file, its consumer group, its client id."""

    strict_environment: ClassVar[bool] = True
    """Whether a ``DRIFTLINE_`` variable that is no setting is an error."""

    kafka_bootstrap_servers: str = Field(
        description="Brokers to ask first: host:port, several separated by commas"
    )
    kafka_security_protocol: Annotated[SecurityProtocol, BeforeValidator(_upper)] = Field(
        default="PLAINTEXT", description="How to talk to the brokers"
    )
    kafka_sasl_mechanism: Annotated[SaslMechanism, BeforeValidator(_upper)] = Field(
        default="SCRAM-SHA-512", description="How to log in, where the protocol is a SASL one"
    )
    kafka_sasl_username: str | None = Field(default=None, description="User name for SASL")
    kafka_sasl_password: SecretStr | None = Field(
        default=None, description="Password for SASL", json_schema_extra=NO_FLAG
    )
    kafka_ssl_ca_file: FilePath | None = Field(
        default=None,
        description="PEM file of the authorities that sign the brokers' certificates; the system's if unset",
    )
    kafka_ssl_cert_file: FilePath | None = Field(
        default=None, description="PEM file of our certificate, for mutual TLS"
    )
    kafka_ssl_key_file: FilePath | None = Field(
        default=None, description="PEM file of the key of our certificate"
    )
    kafka_ssl_check_hostname: bool = Field(
        default=True, description="Whether the broker's certificate must be for the name we connect to"
    )
    topic_prefix: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
        description='Put before every topic name, such as "prod."',
    )
    group_prefix: str = Field(
        default="driftline",
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        description="Put before the service's name: consumer group and transactional ids",
    )
    redis_url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis of the model registry: redis:// or rediss://",
    )
    redis_prefix: str = Field(
        default="driftline:",
        description="Put before every Redis key, so that installations may share a Redis",
    )
    bundle_store: str = Field(
        default="bundles", description="Directory or fsspec URL where the model bundles lie"
    )
    cache_dir: Path = Field(
        default_factory=_cache_dir,
        description="Where fetched bundles are kept; by default driftline in the user's cache directory",
    )
    http_host: str = Field(
        default="127.0.0.1", description="Address for /healthz, /readyz and /metrics; 0.0.0.0 for all"
    )
    http_port: int = Field(
        default=8080, ge=0, le=65_535, description="Port for the same; 0 takes a free one and logs it"
    )
    http_token: SecretStr | None = Field(
        default=None,
        description="What /metrics and the pages ask for, as a bearer token or a browser's password; "
        "none asks nobody",
    )
    log_level: Annotated[LogLevel, BeforeValidator(_upper)] = Field(
        default="INFO", description="Lowest level to log"
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="How to write the log, for machines or for people"
    )
    heartbeat_seconds: float = Field(
        default=5.0,
        ge=0,
        le=300,
        description="Seconds between two reports that this process lives, on the reports topic; 0 for none",
    )
    drain_seconds: float = Field(
        default=25.0, gt=0, le=3_600, description="Time to finish what is in flight after SIGTERM"
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing but the arguments: the other sources belong to ``load_settings``."""
        return (init_settings,)

    @property
    def group(self) -> str:
        """Consumer group of this service."""
        return f"{self.group_prefix}.{self.service}"

    def contradictions(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield what is wrong between settings: the keys at fault, and a sentence.

        Services add theirs after ``yield from super().contradictions()``. A key that is bad by itself
        holds its default meanwhile, or ``None``, and what is yielded about it is left out.
        """
        sasl = self.kafka_security_protocol.startswith("SASL")
        for key in ("kafka_sasl_username", "kafka_sasl_password"):
            if sasl and not getattr(self, key):
                yield (
                    (key, "kafka_security_protocol"),
                    f"is required where kafka_security_protocol is {self.kafka_security_protocol}",
                )
            elif not sasl and getattr(self, key):
                yield (
                    (key, "kafka_security_protocol"),
                    f"has no effect where kafka_security_protocol is {self.kafka_security_protocol}; "
                    "did you mean SASL_SSL?",
                )
        if not self.kafka_security_protocol.endswith("SSL"):
            for key in ("kafka_ssl_ca_file", "kafka_ssl_cert_file", "kafka_ssl_key_file"):
                if getattr(self, key):
                    yield (
                        (key, "kafka_security_protocol"),
                        f"has no effect where kafka_security_protocol is {self.kafka_security_protocol}; "
                        "did you mean SSL or SASL_SSL?",
                    )
        pair = ("kafka_ssl_cert_file", "kafka_ssl_key_file")
        for key, other in (pair, pair[::-1]):
            if getattr(self, key) and not getattr(self, other):
                yield (other, key), f"is required with {key}"

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        servers = [server.strip() for server in value.split(",") if server.strip()]
        for server in servers:
            host, _, port = server.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
                raise ValueError(f"{server!r} is not host:port")
        if not servers:
            raise ValueError("names no broker")
        return ",".join(servers)

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value
