"""A prefix's topics and a model with a baseline, and the settings of a drift service over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from devstack.apache_kafka import ApacheKafka
from shared.bundle.spec import ModelSpec
from shared.drift import Baseline, fit_baseline
from shared.drift.prediction_channels import fit_predictions
from shared.drift.stream.merging import Merger
from shared.messages import DriftReport
from shared.pipeline.state import Snapshot
from tests.drift_oracle import Row
from tests.models import linear, numeric_spec, write_bundle
from tests.stage import SESSION_SECONDS
from tests.stage import Stage as BareStage
from tests.streams import produce, read_all, until

PARTITIONS = 3
EVENTS_PER_DAY = 40_000.0


def fitted(seed: int = 1, *, predictions: bool = True) -> Baseline:
    """The baseline of a model with three standard normal features."""
    rng = np.random.default_rng(seed)
    rows = 20_000
    columns = {f"f{i}": rng.normal(size=rows) for i in range(3)}
    baseline = fit_baseline(columns, dict.fromkeys(columns, "numeric"))
    if not predictions:
        return baseline
    scores = rng.beta(2, 5, size=rows)
    classes = ["yes" if score >= 0.5 else "no" for score in scores.tolist()]
    return msgspec.structs.replace(baseline, predictions=fit_predictions(list(columns), scores, classes))


@dataclass
class Stage(BareStage):
    """Everything one drift test plays on."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))
    sent: int = 0
    offsets: list[int] = field(default_factory=lambda: [0] * PARTITIONS)

    def bundle(self, version: str = "1", baseline: Baseline | None = None, **spec: Any) -> Path:
        """A bundle on disk."""
        options: dict[str, Any] = {"window": 3600, "events_per_day": EVENTS_PER_DAY} | spec
        made: ModelSpec = numeric_spec(3, version=version, **options)
        raw = None if baseline is None else baseline.encode()
        return write_bundle(self.folder / f"demo-{version}", linear(3, [0.1, 0.2, -0.3], 0.0), made, raw).path

    async def play(
        self, count: int, *, shift: float = 0.0, shares: Sequence[float] = (0.6, 0.3, 0.1), version: str = "1"
    ) -> None:
        """Send so many events, and a prediction for each, as the scoring path would."""
        events: list[tuple[int, bytes]] = []
        answers: list[tuple[int, bytes]] = []
        for _ in range(count):
            partition = int(self.rng.choice(PARTITIONS, p=shares))
            features = {f"f{i}": float(self.rng.normal(loc=shift if i == 1 else 0.0)) for i in range(3)}
            occurred = 1_700_000_000_000 + 2_160 * self.sent
            event = {"event_id": f"e{self.sent}", "occurred_at": occurred, "features": features}
            score = float(self.rng.beta(2, 5))
            answer = {
                "event_id": f"e{self.sent}",
                "model": "demo",
                "model_version": version,
                "score": score,
                "occurred_at": occurred,
                "scored_at": occurred,
                "label": "yes" if score >= 0.5 else "no",
                "source": {
                    "topic": self.topics.events,
                    "partition": partition,
                    "offset": self.offsets[partition],
                },
            }
            events.append((partition, msgspec.json.encode(event)))
            answers.append((partition, msgspec.json.encode(answer)))
            self.offsets[partition] += 1
            self.sent += 1
        await produce(self.client, self.topics.events, events)
        await produce(self.client, self.topics.predictions, answers)

    async def rows(self, topic: str, *, version: str | None = None) -> list[list[Row]]:
        """What is in events or predictions, as the oracle takes it, by partition."""
        found = await read_all(self.client, topic)
        made = []
        for partition in sorted(found):
            mine = []
            for record in found[partition]:
                message = msgspec.json.decode(record.value)
                if version is not None and message["model_version"] != version:
                    continue
                values = message.get("features") or {
                    "score": message["score"],
                    "predicted_class": message["label"],
                }
                mine.append(Row(record.timestamp, message["occurred_at"], values))
            made.append(mine)
        return made

    async def merger(self) -> Merger:
        """The detectors as the service last committed them."""
        topic = self.topics.state("drift-merge")
        for records in (await read_all(self.client, topic)).values():
            for record in reversed(records):
                snapshot = msgspec.msgpack.decode(record.value, type=Snapshot)
                merger = Merger(self.topics.drift_counts, 0, snapshot.next_offset, snapshot.state)
                if "demo" in merger.models:
                    return merger
        return Merger(self.topics.drift_counts, 0)

    async def counted(self, events: int, predictions: int, *, version: str = "1") -> Merger:
        """Wait until so many rows have reached the detectors; return them."""
        found: list[Merger] = []

        async def all_counted() -> bool:
            merger = await self.merger()
            found[:] = [merger]
            watch = merger.models["demo"].versions.get(version) if "demo" in merger.models else None
            if watch is None:
                return False
            seen = [watch.watch("features"), watch.watch("predictions")]
            counts = [0 if group is None else group.rate.events for group in seen]
            return counts == [events, predictions]

        await until(
            all_counted, seconds=240, every=0.5, what=f"{events} events and {predictions} predictions"
        )
        return found[0]

    async def reported(self, events: int, predictions: int) -> list[DriftReport]:
        """Wait until so many rows are in the reports, which follow the state by ``report_seconds``."""
        found: list[DriftReport] = []

        async def all_reported() -> bool:
            found[:] = await self.reports()
            sums = sum(report.events for report in found), sum(report.predictions for report in found)
            return sums == (events, predictions)

        await until(all_reported, seconds=120, every=0.5, what=f"{events} events in the reports")
        return found

    async def reports(self) -> list[DriftReport]:
        """The newest drift report of every window."""
        found = await self.newest(DriftReport)
        return sorted(found, key=lambda report: (report.model_version, report.window.start))


@pytest.fixture
async def stage(kafka: ApacheKafka, topic_prefix: str, tmp_path: Path) -> Stage:
    settings = {
        "DRIFTLINE_REPORT_SECONDS": "1",
        "DRIFTLINE_IDLE_SECONDS": "1",
        "DRIFTLINE_SESSION_SECONDS": SESSION_SECONDS,
    }
    return await Stage.set_up(kafka, topic_prefix, tmp_path, settings=settings)
