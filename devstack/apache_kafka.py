"""A real Apache Kafka on loopback: KRaft, one node or three, plaintext, TLS or SASL over TLS."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from devstack.errors import DevstackError
from devstack.folder import DataFolder
from devstack.jars import kafka_jars
from devstack.java import find_java
from devstack.kafka_node import Jvm, KafkaNode
from devstack.kafka_properties import NodePorts, node_properties
from devstack.part import POLL_SECONDS
from devstack.ports import Ports
from devstack.security import PASSWORD, USERNAME, Security, client_settings, make_certificates

START_ATTEMPTS = 3


class ApacheKafka:
    """A cluster as a context manager; topics are not created by themselves.

    Parameters
    ----------
    nodes
        1, or 3 (every topic with three replicas, two of which must be in sync).
    data_dir
        Where the data goes; a scratch folder by default. A folder of an earlier run starts with its data.
    security
        What clients must present: nothing, TLS, or SCRAM-SHA-512 over TLS (see `client_settings`).
    users
        With SASL: password of each user beside the one of `client_settings`, by name.
    settings
        Broker properties on top of ours.
    start_timeout
        Seconds until every node must serve.

    Examples
    --------
    >>> with ApacheKafka() as kafka:                    # doctest: +SKIP
    ...     producer = AIOKafkaProducer(
    ...         bootstrap_servers=kafka.bootstrap_servers, **kafka.client_settings()
    ...     )
    """

    def __init__(
        self,
        nodes: int = 1,
        data_dir: Path | str | None = None,
        security: Security = "plaintext",
        *,
        users: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        start_timeout: float = 120.0,
    ) -> None:
        if nodes not in (1, 3):
            raise DevstackError(f"nodes: Apache Kafka runs here with 1 or 3 nodes, not {nodes}")
        self.security = security
        self.nodes: list[KafkaNode] = []
        self._node_count = nodes
        self._given_dir = data_dir
        self._users = {USERNAME: PASSWORD, **(users or {})} if security == "sasl_tls" else {}
        self._settings = dict(settings or {})
        self._start_timeout = start_timeout
        self._folder: DataFolder | None = None
        self._ports = Ports()

    @property
    def bootstrap_servers(self) -> str:
        """``host:port`` of every node, separated by commas."""
        return ",".join(node.address for node in self.nodes)

    @property
    def ca_file(self) -> Path:
        """The certificate of the authority that clients must trust (with TLS)."""
        if self._folder is None:
            raise DevstackError("Apache Kafka is not started: use it in a with statement")
        return self._folder.path / "ca.pem"

    def client_settings(self) -> dict[str, Any]:
        """Return the aiokafka arguments beside ``bootstrap_servers`` (ssl_context, sasl_…)."""
        return client_settings(self.security, self.ca_file)

    def __enter__(self) -> Self:
        jvm = Jvm(find_java(), os.pathsep.join(str(jar) for jar in kafka_jars()))
        self._folder = DataFolder("kafka", self._given_dir)
        try:
            self._start_on_free_ports(jvm, self._folder)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop every node, give the ports back and remove a scratch folder."""
        if self._folder is not None and self._folder.kept:
            # All at once: a node that goes last waits for a controller that is gone.
            with ThreadPoolExecutor(len(self.nodes) or 1) as pool:
                list(pool.map(lambda node: node.stop(10.0), self.nodes))
        for node in self.nodes:
            node.kill()
        self._ports.release()
        if self._folder is not None:
            self._folder.remove()
        self.nodes, self._folder = [], None

    def wait_ready(self) -> None:
        """Wait until every node is alive in every node's view."""
        everyone = {node.node_id for node in self.nodes}
        deadline = time.monotonic() + self._start_timeout
        for node in self.nodes:
            node.wait_ready(everyone, max(deadline - time.monotonic(), POLL_SECONDS))

    def _start_on_free_ports(self, jvm: Jvm, folder: DataFolder) -> None:
        if self.security != "plaintext":
            make_certificates(folder.path / "ca.pem", folder.path / "broker.pem")
        for attempt in range(1, START_ATTEMPTS + 1):
            self._prepare(jvm, folder)
            try:
                for node in self.nodes:
                    node.launch()
                self.wait_ready()
            except DevstackError:
                port_was_taken = any(node.part.port_was_taken() for node in self.nodes)
                for node in self.nodes:
                    node.kill()
                if attempt == START_ATTEMPTS or not port_was_taken:
                    raise
            else:
                return

    def _prepare(self, jvm: Jvm, folder: DataFolder) -> None:
        """Reserve ports, and write and format the folder of every node."""
        ports = [
            NodePorts(self._ports.reserve(), self._ports.reserve(), self._ports.reserve())
            for _ in range(self._node_count)
        ]
        self.nodes = [
            KafkaNode(
                node_id,
                own.client,
                jvm,
                folder.path / f"node-{node_id}",
                scratch=folder.scratch,
                client_settings=self.client_settings(),
                start_timeout=self._start_timeout,
            )
            for node_id, own in enumerate(ports, 1)
        ]
        cluster_id = _cluster_id(folder.path)

        def format_node(node: KafkaNode) -> None:
            keystore = folder.path / "broker.pem"
            properties = node_properties(node.node_id, ports, node.part.data_dir, self.security, keystore)
            node.format(properties | self._settings, cluster_id, self._users)

        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(format_node, self.nodes))


def _cluster_id(folder: Path) -> str:
    """Return the folder's cluster id, 16 random bytes in URL-safe base 64, made on first use."""
    file = folder / "cluster-id"
    if not file.exists():
        file.write_text(base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("="))
    return file.read_text()
