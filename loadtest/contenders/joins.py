"""The programs that join labels to predictions: Driftline's service, and the peers."""

from __future__ import annotations

import secrets
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from devstack.part import Part
from devstack.ports import Ports
from loadtest.cluster import Cluster
from loadtest.contenders.contender import own_path
from loadtest.contenders.peers import PROGRAMS
from loadtest.joining import HORIZON_MS
from loadtest.models import Model
from loadtest.peers.environments import environment, python_of
from shared.topics import TopicNames, TopicSpec, topic_specs


@dataclass(slots=True)
class JoinStage:
    """Topics, processes and places of one contender's run."""

    cluster: Cluster
    names: TopicNames
    folder: Path
    ports: Ports
    partitions: int

    def part(self, name: str, command: list[str], settings: dict[str, str]) -> Part:
        """Return a process of this run, not yet started."""
        return Part(name, command, self.folder, scratch=self.folder, environment=settings)


@asynccontextmanager
async def a_stage(bootstrap_servers: str, partitions: int) -> AsyncIterator[JoinStage]:
    """Give one run its topics, scratch folder and ports, and take them back."""
    names = TopicNames(f"lt{secrets.token_hex(3)}-")
    ports = Ports()
    try:
        with tempfile.TemporaryDirectory(prefix="driftline-join-", ignore_cleanup_errors=True) as folder:
            async with Cluster(bootstrap_servers) as cluster, cluster.topics(_topics(names, partitions)):
                yield JoinStage(cluster, names, Path(folder), ports, partitions)
    finally:
        ports.release()


def _topics(names: TopicNames, partitions: int) -> list[TopicSpec]:
    """Return the topics that a join needs, as the product makes them."""
    wanted = (
        names.predictions, names.shadow_predictions, names.labels, names.outcomes, names.labelled,
        names.performance_log, names.reports, names.dead_letters, names.state("performance"),
        names.state("performance-routing"),
    )  # fmt: skip
    return [spec for spec in topic_specs(names, partitions=partitions) if spec.name in wanted]


class DriftlineJoin:
    """The performance service with a disk of its own.

    Attributes
    ----------
    disk
        Where its store lies.
    """

    def __init__(self, stage: JoinStage, model: Model) -> None:
        self.disk = stage.folder / "join"
        self._stage = stage
        self._model = model
        self._port = stage.ports.reserve()

    def part(self, name: str) -> Part:
        """Return a process of the service; a second one takes the first one's place."""
        settings = {
            "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": self._stage.cluster.bootstrap_servers,
            "DRIFTLINE_TOPIC_PREFIX": self._stage.names.prefix,
            "DRIFTLINE_GROUP_PREFIX": self._stage.names.prefix,
            "DRIFTLINE_MODEL_BUNDLES": str(self._model.bundle),
            "DRIFTLINE_JOIN_DIR": str(self.disk),
            "DRIFTLINE_HTTP_PORT": str(self._port),
            "DRIFTLINE_IDLE_SECONDS": "3",
            "DRIFTLINE_GRACE_SECONDS": "0",
            "DRIFTLINE_SESSION_SECONDS": "300",  # it is stopped while the backlog is laid
        } | own_path()
        return self._stage.part(name, [sys.executable, "-m", "services.performance"], settings)

    def ready(self) -> bool:
        """Return whether every partition has been opened."""
        return self._get("/readyz") is not None

    def joined(self) -> tuple[int, int] | None:
        """Return how many answers and labels it has taken from its log; None while it does not say."""
        kinds = self._metrics("driftline_performance_items_total")
        if kinds is None:
            return None
        return int(kinds.get('kind="answers"', 0)), int(kinds.get('kind="labels"', 0))

    def open_events(self) -> int:
        """Return how many events are open in all partitions."""
        return int(sum((self._metrics("driftline_performance_open_events") or {}).values()))

    def _metrics(self, name: str) -> dict[str, float] | None:
        """Return a metric's values by their label."""
        text = self._get("/metrics")
        if text is None:
            return None
        lines = (
            line.rpartition(" ") for line in text.splitlines() if line.startswith((name + "{", name + " "))
        )
        return {what.partition("{")[2].rstrip("}"): float(value) for what, _, value in lines}

    def _get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=10) as answer:
                text: str = answer.read().decode()
                return text
        except OSError:
            return None


def quix(stage: JoinStage) -> Part:
    """Return Quix Streams with ``join_asof`` over its RocksDB store, not yet started."""
    return _peer(stage, [str(python_of("quixstreams")), str(PROGRAMS / "quix_join.py")])


def faust(stage: JoinStage) -> Part:
    """Return Faust with a table, not yet started."""
    port = stage.ports.reserve()
    command = [
        str(environment("faust") / "bin" / "python"), str(PROGRAMS / "faust_join.py"), "--datadir",
        str(stage.folder / "faust"), "worker", "--loglevel", "warn", "--web-port", str(port),
    ]  # fmt: skip
    return _peer(stage, command)


def _peer(stage: JoinStage, command: list[str]) -> Part:
    told = {
        "LOADTEST_BOOTSTRAP_SERVERS": stage.cluster.bootstrap_servers,
        "LOADTEST_GROUP": f"{stage.names.prefix}peer",
        "LOADTEST_PREDICTIONS": stage.names.predictions,
        "LOADTEST_LABELS": stage.names.labels,
        "LOADTEST_OUTPUT": stage.names.labelled,
        "LOADTEST_FOLDER": str(stage.folder),
        "LOADTEST_HORIZON_MS": str(HORIZON_MS),
        "LOADTEST_PARTITIONS": str(stage.partitions),
        "PYTHONPATH": "",
        "PYTHONSAFEPATH": "1",
    }
    return stage.part("peer", command, told)
