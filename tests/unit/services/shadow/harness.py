"""A shadow step without a broker, fed with events and a champion's predictions in any rhythm."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from prometheus_client import CollectorRegistry

from services.shadow.candidates import Candidate, Candidates, Lineup
from services.shadow.metrics import ShadowMetrics
from services.shadow.process import ShadowOptions, ShadowStep
from shared.bundle.spec import ModelSpec
from shared.kafka.records import Output, Records
from shared.messages import Prediction, ShadowReport, Source
from shared.scoring.isolated import ModelLost
from shared.scoring.scorer import Scorer
from shared.serving.models import ServedModel
from shared.topics import TopicNames
from tests.models import linear, numeric_spec, write_bundle

HOUR = 3_600_000
NOW = 1000 * HOUR


@dataclass
class Session:
    """Stands in for the process of a model: fails the next calls where a test says so."""

    trouble: str | None = None
    cpu_seconds: float = 0.0
    losses: list[ModelLost] = field(default_factory=list)

    def begin(self) -> None:
        if self.losses:
            error = self.losses.pop(0)
            self.trouble = str(error)
            raise error
        self.trouble = None

    def close(self) -> None: ...


class FailingCandidate(Candidate):
    """A candidate whose session may be lost."""

    def predict(self, columns: Any) -> Any:
        try:
            return super().predict(columns)
        except ModelLost as error:
            return error, 0.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


def event(event_id: str, *, at: int = NOW - 1000, **extra: Any) -> bytes:
    features = extra.pop("features", {"f0": 1, "f1": 2, "f2": 3})
    return msgspec.json.encode({"event_id": event_id, "occurred_at": at, "features": features} | extra)


def answer(offset: int, score: float, *, version: str = "1", **extra: Any) -> bytes:
    label = extra.pop("label", "yes" if score >= 0.5 else "no")
    fields = {"event_id": f"e{offset}", "model": "demo", "model_version": version, "score": score}
    fields |= {"occurred_at": 1, "scored_at": NOW + 7, "label": label} | extra
    return msgspec.json.encode(fields | {"source": Source("events", extra.get("partition", 0), offset)})


def records(topic: str, values: list[bytes | None], first: int = 0, partition: int = 0) -> Records:
    count = len(values)
    return Records(
        topic=topic,
        partition=partition,
        start=first,
        end=first + count,
        offsets=list(range(first, first + count)),
        timestamps=[NOW - 100] * count,
        keys=[f"k{first + i}".encode() for i in range(count)],
        values=values,
        headers=[()] * count,
    )


class Harness:
    """One partition, 0, of the topic ``events``."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.clock = Clock()
        self.candidates = Candidates()
        self.collectors = CollectorRegistry()
        self.options = ShadowOptions(**({"report_interval": 1000} | options))
        self.reported: dict[tuple[str, str, int, int], ShadowReport] = {}
        self.everything: list[ShadowReport] = []
        self.shadowed: list[Prediction] = []
        self.letters: list[Output] = []
        self.restart(None, 0)

    def restart(self, state: bytes | None, next_offset: int) -> None:
        """Begin anew, as another process would, with a committed state."""
        metrics = ShadowMetrics(CollectorRegistry())
        self.step = ShadowStep(self.candidates, TopicNames(), metrics, clock=self.clock, options=self.options)
        self.step.open("events", 0, next_offset, state)

    def candidate(
        self, version: str = "2", *, graph: onnx.ModelProto | None = None, spec: ModelSpec | None = None
    ) -> FailingCandidate:
        spec = spec or numeric_spec(3, version=version, window=3600)
        bundle = write_bundle(self.folder / f"{spec.name}-{spec.version}", graph or linear(3), spec)
        return FailingCandidate(
            ServedModel.over(bundle, Scorer.load(bundle), max_event_bytes=1 << 20), Session()
        )

    def line_up(self, *candidates: Candidate, model: str = "demo", basis: int = 3, **lineup: Any) -> None:
        """Let these be the registry's candidates, since the revision ``basis``."""
        versions = [candidate.model.version for candidate in candidates]
        bases = dict.fromkeys([*versions, *lineup.get("absent", ())], basis)
        self.candidates.set(model, Lineup(tuple(candidates), bases=bases, **({"crowned": "1"} | lineup)))

    def ask(self, values: list[bytes | None], first: int = 0) -> None:
        """Feed events and commit."""
        work = self.step.decode([records("events", values, first)])
        self.step.compute(work)
        self._keep(self.step.encode(work, 0))

    def tell(self, values: list[bytes | None], first: int | None = None) -> None:
        """Feed predictions, at the position where the last ones ended."""
        at = self.step.positions()[0]
        if at < 0:
            self.step.take(Records("predictions", 0, -1, 0, [], [], [], [], []))
            at = 0
        self.step.take(records("predictions", values, at if first is None else first))

    @property
    def held(self) -> list[Any]:
        """The windows that the committed state holds."""
        cells: list[Any] = msgspec.msgpack.decode(self.step.snapshot("events", 0))["cells"]
        return cells

    def report(self, version: str = "2", champion: str = "1") -> ShadowReport:
        """The only window's newest report of a pair."""
        self.flush()
        (found,) = [r for key, r in self.reported.items() if key[:2] == (version, champion)]
        return found

    def flush(self) -> None:
        self.clock.now += 1000
        self._keep(self.step.flush("events", 0))

    def _keep(self, outputs: list[Output]) -> None:
        for output in outputs:
            if output.topic == "reports":
                for value in output.values:
                    report = msgspec.json.decode(value, type=ShadowReport)
                    start = report.window.start
                    key = (report.model_version, report.champion_version, start, report.basis)
                    self.reported[key] = report
                    self.everything.append(report)
            elif output.topic == "shadow-predictions":
                self.shadowed += [msgspec.json.decode(value, type=Prediction) for value in output.values]
            else:
                self.letters.append(output)


def sigmoid(values: list[float]) -> list[float]:
    """What ``linear(3)`` answers: weights -1, 0, 1, in single precision."""
    x = np.array(values, dtype=np.float32)
    return [float(v) for v in 1 / (1 + np.exp(-x, dtype=np.float32))]
