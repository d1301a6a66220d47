"""The ``server.properties`` of a small, quick Apache Kafka for tests and demos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.security import PROTOCOLS, Security, listener_properties

# Few internal partitions and threads: it starts faster, and two cores have to run three nodes.
SMALL = {
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "num.replica.fetchers": "1",
    "background.threads": "2",
    "log.cleaner.dedupe.buffer.size": "16777216",
}
# Tests create consumer groups and topics all the time: no waiting, and no topic by a slip of the pen.
PROMPT = {
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    "log.retention.check.interval.ms": "10000",
    "file.delete.delay.ms": "1000",
    # A killed broker may register again only when its old session is over: 9 s by default.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
}


@dataclass(frozen=True)
class NodePorts:
    """The loopback ports of one node."""

    client: int
    broker: int
    controller: int


def node_properties(
    node_id: int, ports: Sequence[NodePorts], data_dir: Path, security: Security, keystore: Path
) -> dict[str, str]:
    """Return the properties of node `node_id` (from 1) in a cluster with these ports."""
    own = ports[node_id - 1]
    return {
        "process.roles": "broker,controller",
        "node.id": str(node_id),
        "log.dirs": str(data_dir / "data"),
        "controller.quorum.voters": ",".join(
            f"{voter}@127.0.0.1:{port.controller}" for voter, port in enumerate(ports, 1)
        ),
        "listeners": (
            f"CLIENT://127.0.0.1:{own.client},BROKER://127.0.0.1:{own.broker},"
            f"CONTROLLER://127.0.0.1:{own.controller}"
        ),
        "advertised.listeners": f"CLIENT://127.0.0.1:{own.client},BROKER://127.0.0.1:{own.broker}",
        "listener.security.protocol.map": (
            f"CLIENT:{PROTOCOLS[security]},BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "inter.broker.listener.name": "BROKER",
        "controller.listener.names": "CONTROLLER",
        **replication(len(ports)),
        **SMALL,
        **PROMPT,
        **listener_properties(security, keystore),
    }


def replication(nodes: int) -> Mapping[str, str]:
    """Return the replication of every topic: three copies of which two must be written, or one."""
    copies, in_sync = (3, 2) if nodes >= 3 else (1, 1)
    return {
        "default.replication.factor": str(copies),
        "min.insync.replicas": str(in_sync),
        "offsets.topic.replication.factor": str(copies),
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": str(in_sync),
    }
