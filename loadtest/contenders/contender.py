"""What the harness has to know of a program that reads events and writes predictions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from loadtest.models import Model, ModelName
from shared.topics import TopicNames, TopicSpec, topic_specs

ROOT = Path(__file__).parents[2]

Kind = Literal["floor", "driftline", "peer"]
Progress = Literal["committed", "written", "merged"]


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one contender.

    Attributes
    ----------
    bootstrap_servers
        Of the broker.
    prefix
        Of topics, group and transactional ids: no two runs share one.
    model
        To score with; None for an echo.
    folder
        Scratch folder for whatever the contender keeps.
    port
        Free loopback port for its own web server.
    """

    bootstrap_servers: str
    prefix: str
    model: Model | None
    folder: Path
    port: int

    @property
    def events(self) -> str:
        """Topic of the input."""
        return f"{self.prefix}events"

    @property
    def predictions(self) -> str:
        """Topic of the output."""
        return f"{self.prefix}predictions"

    @property
    def group(self) -> str:
        """Consumer group, named as Driftline's service names its own."""
        return f"{self.prefix}.inference"

    def topics(self, names: Sequence[str], partitions: int) -> list[TopicSpec]:
        """Return the topics of these names as the product makes them."""
        wanted = {self.prefix + name for name in names}
        return [s for s in topic_specs(TopicNames(self.prefix), partitions=partitions) if s.name in wanted]

    def environment(self) -> dict[str, str]:
        """Return what the harness's own programs and the peers' are told."""
        told = {
            "LOADTEST_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "LOADTEST_INPUT": self.events,
            "LOADTEST_OUTPUT": self.predictions,
            "LOADTEST_GROUP": self.group,
            "LOADTEST_FOLDER": str(self.folder),
            "LOADTEST_PORT": str(self.port),
        }
        if self.model is not None:
            told |= {
                "LOADTEST_MODEL": str(self.model.graph),
                "LOADTEST_SCORE": self.model.score,
                "LOADTEST_FEATURES": ",".join(self.model.features),
                "LOADTEST_MODEL_NAME": f"loadtest-{self.model.name}",
            }
        return told


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line, and the variables on top of the harness's own."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A program to measure.

    Attributes
    ----------
    name
        What the tables call it.
    kind
        The echo ``floor``, ``driftline`` or a ``peer``.
    launch
        Returns how to start it for a job.
    model
        Which model it scores with; None for an echo.
    exactly_once
        Whether its output is transactional.
    progress
        How far it is: by the offsets its group ``committed``, or by the records it has ``written``.
        The second is for peers that commit at leisure or not at all, and cannot count a transactional
        topic, whose markers take offsets. The drift service is asked itself how many events it has
        ``merged``; it writes no record per event.
    share
        Fraction of the events that it gets: slow contenders would hold up the whole run.
    topics
        Those of Driftline's topics that it needs, without prefix.
    rows_per_request
        It is asked over REST and reads no Kafka; 0 for all others.
    unavailable
        Makes it ready on first use, and returns why it cannot run here, or None.
    """

    name: str
    kind: Kind
    launch: Callable[[Job], Launch]
    model: ModelName | None = None
    exactly_once: bool = False
    progress: Progress = "committed"
    share: float = 1.0
    topics: tuple[str, ...] = ("events", "predictions")
    rows_per_request: int = 0
    unavailable: Callable[[], str | None] = lambda: None


def own_path() -> dict[str, str]:
    """Return the variable with which a child finds this checkout's packages."""
    inherited = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{ROOT}{os.pathsep}{inherited}" if inherited else str(ROOT)}
