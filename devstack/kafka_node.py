"""One node of Apache Kafka: broker and controller in one JVM, under a warden."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.errors import DevstackError
from devstack.part import Part
from devstack.probe import describe_cluster
from devstack.security import MECHANISM

LOG_CONFIG = Path(__file__).with_name("log4j2.properties")
# Small and quick to start: a serial collector, and no class verification of jars whose hash is known.
JVM_FLAGS = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.awt.headless=true")
FORMAT_FLAGS = ("-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
FORMAT_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Jvm:
    """The Java and the class path that the nodes run on."""

    java: Path
    class_path: str

    def command(self, flags: tuple[str, ...], main_class: str, *arguments: str) -> list[str]:
        """Return a command line that runs `main_class`."""
        log = f"-Dlog4j2.configurationFile={LOG_CONFIG}"
        return [str(self.java), *flags, log, "-cp", self.class_path, main_class, *arguments]


class KafkaNode:
    """A node that can be stopped, killed, suspended and started again with the same data and ports.

    Parameters
    ----------
    node_id
        From 1.
    port
        Of the clients' listener.
    """

    def __init__(
        self,
        node_id: int,
        port: int,
        jvm: Jvm,
        data_dir: Path,
        *,
        scratch: Path | None,
        client_settings: Mapping[str, Any],
        start_timeout: float,
    ) -> None:
        self.node_id = node_id
        self.port = port
        self.start_timeout = start_timeout
        self._jvm = jvm
        self._client_settings = client_settings
        self._cluster_id = ""
        self.properties_file = data_dir / "server.properties"
        command = jvm.command(JVM_FLAGS, "kafka.Kafka", str(self.properties_file))
        self.part = Part(f"Kafka node {node_id}", command, data_dir, scratch=scratch)

    @property
    def address(self) -> str:
        """``127.0.0.1:<port>``."""
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process exists (a suspended one does)."""
        return self.part.running

    def format(self, properties: Mapping[str, str], cluster_id: str, users: Mapping[str, str]) -> None:
        """Write ``server.properties`` and format the log folder, unless it is formatted already.

        Parameters
        ----------
        users
            Password of each user that may log in, by name.
        """
        self._cluster_id = cluster_id
        self.part.data_dir.mkdir(parents=True, exist_ok=True)
        self.properties_file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        # With an equals sign: one random id in 64 begins with a hyphen and would be taken for a flag.
        arguments = ["format", "--config", str(self.properties_file), f"--cluster-id={cluster_id}"]
        for name, password in users.items():
            arguments += ["--add-scram", f"{MECHANISM}=[name={name},password={password}]"]
        command = self._jvm.command(FORMAT_FLAGS, "kafka.tools.StorageTool", *arguments, "--ignore-formatted")
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=FORMAT_TIMEOUT_SECONDS, check=False
        )
        if answer.returncode != 0:
            raise DevstackError(f"{self.part.name} could not be formatted: {answer.stdout}{answer.stderr}")

    def launch(self) -> None:
        """Start the process without waiting until it serves."""
        self.part.launch()

    def wait_ready(self, brokers: Set[int] = frozenset(), timeout: float | None = None) -> None:
        """Wait until this node's view of the cluster names `brokers` (by default this node itself)."""
        wanted = brokers or {self.node_id}
        self.part.wait_until(
            lambda: wanted <= self.known_brokers(), self.start_timeout if timeout is None else timeout
        )

    def known_brokers(self) -> Set[int]:
        """Return the ids of the brokers that are alive, in this node's view; empty if it does not answer."""
        cluster = describe_cluster("127.0.0.1", self.port, self._client_settings)
        return cluster.brokers if cluster.cluster_id == self._cluster_id else frozenset()

    def start(self) -> None:
        """Start it again after `stop` or `kill` and wait until it serves.

        It needs a majority of the nodes: where several are down, `launch` all of them, then `wait_ready`.
        """
        self.launch()
        self.wait_ready()

    def stop(self, timeout: float = 30.0) -> None:
        """SIGTERM (partitions move away first), SIGKILL after `timeout` seconds; wait until it is gone."""
        self.part.stop(timeout)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.part.kill()

    def suspend(self) -> None:
        """SIGSTOP: its connections stay open and it answers nobody."""
        self.part.suspend()

    def resume(self) -> None:
        """SIGCONT."""
        self.part.resume()
