"""A prefix's topics, a bundle with a short horizon, and the settings of a service over them."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from devstack.apache_kafka import ApacheKafka
from shared.bundle.spec import FeatureSpec
from shared.bundle.truth import KpiSpec
from shared.messages import Label, Outcome, PerformanceReport, Prediction, Source
from tests.models import linear, numeric_spec, write_bundle
from tests.stage import SESSION_SECONDS
from tests.stage import Stage as BareStage
from tests.streams import produce

PARTITIONS = 3
HOUR = 3_600_000
START = 472_222 * HOUR  # in 2023
HORIZON = 4 * HOUR
CARRIERS = ("UA", "B6", "AA")


@dataclass
class Stage(BareStage):
    """Everything one performance test plays on, and what was sent."""

    predictions: list[Prediction] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    waiting: list[Label] = field(default_factory=list)
    rng: random.Random = field(default_factory=lambda: random.Random(7))

    def replica(self, name: str) -> dict[str, str]:
        """Settings of a process with a disk of its own."""
        return self.settings | {"DRIFTLINE_JOIN_DIR": str(self.folder / name)}

    def lose_disk(self, name: str) -> None:
        """Take a replica's disk away."""
        shutil.rmtree(self.folder / name, ignore_errors=True)

    async def send_hour(self, hour: int, events: int) -> None:
        """Send an hour's predictions (some from the shadow), and the labels and outcomes observed in it."""
        begin = START + hour * HOUR
        fresh: list[Prediction] = []
        shadow: list[Prediction] = []
        for number in range(events):
            event_id, at = f"e{hour}-{number}", begin + self.rng.randrange(HOUR)
            segments = {"f0": self.rng.choice(CARRIERS)}
            for version, to in (("1", fresh), ("2", shadow)):
                if version == "2" and self.rng.random() < 0.5:
                    continue
                score = self.rng.random()
                label = "yes" if score >= 0.5 else "no"
                source = Source(self.topics.events, number % PARTITIONS, hour * 10_000 + number)
                to.append(
                    Prediction(event_id, "demo", version, score, at, at, source, None, label, None, segments)
                )
        self.predictions += [*fresh, *shadow]
        fresh_labels = [self._label(p) for p in fresh if self.rng.random() < 0.8]
        fresh_labels += [self._label(p) for p in fresh if self.rng.random() < 0.2]  # corrected, or told again
        self.waiting += fresh_labels
        observed = [label for label in self.waiting if int(label.observed_at) < begin + HOUR]  # type: ignore[arg-type]
        self.waiting = [label for label in self.waiting if label not in observed]
        self.labels += observed[::2] + observed[1::2]  # in the order they are sent
        outcomes = [
            Outcome(
                kpi="sale",
                value=round(self.rng.random() * 9, 2),
                observed_at=p.occurred_at,
                event_id=p.event_id,
            )
            for p in fresh
            if self.rng.random() < 0.3
        ]
        for topic, messages in (
            (self.topics.labels, observed[::2]),  # some before their prediction
            (self.topics.predictions, fresh),
            (self.topics.shadow_predictions, shadow),
            (self.topics.labels, observed[1::2]),
            (self.topics.outcomes, outcomes),
        ):
            await self.send(topic, messages)

    def _label(self, p: Prediction) -> Label:
        truth = "yes" if self.rng.random() < p.score else "no"
        # Within the horizon with an hour to spare, or after it: an hour's messages are sent in no order.
        delay = self.rng.choice([self.rng.randrange(5 * HOUR // 2), HORIZON + self.rng.randrange(1, HOUR)])
        at = p.occurred_at + delay
        return Label(event_id=p.event_id, label=truth, observed_at=at)

    async def send(
        self, topic: str, messages: list[Any], *, by: Callable[[Any], str] = lambda m: str(m.event_id)
    ) -> None:
        """Send messages, each to the partition that its event, or something else, leads to."""
        await produce(self.client, topic, [(hash_of(by(m)), msgspec.json.encode(m)) for m in messages])

    async def pass_time(self, to: int) -> None:
        """Let every input come to a moment, by a message in each of their partitions."""
        late = [
            self.prediction(f"last-{number}", "3", to, 0.5, f"nobody-{number}")
            for number in range(PARTITIONS)
        ]
        labels = [Label(event_id=p.event_id, label="no", observed_at=to) for p in late]
        outcomes = [Outcome(kpi="none", value=0, observed_at=to, event_id=p.event_id) for p in late]
        topics = self.topics
        for topic, messages in (
            (topics.predictions, late),
            (topics.shadow_predictions, late),
            (topics.labels, labels),
            (topics.outcomes, outcomes),
        ):
            await produce(self.client, topic, [(at, msgspec.json.encode(m)) for at, m in enumerate(messages)])

    def prediction(self, event_id: str, version: str, at: int, score: float, entity_id: str) -> Prediction:
        """A prediction about an entity."""
        source = Source(
            self.topics.events, hash_of(entity_id), int.from_bytes(event_id.encode(), "big") % 10_000
        )
        label = "yes" if score >= 0.5 else "no"
        return Prediction(event_id, "demo", version, score, at, at, source, entity_id, label)

    def bundle(self, version: str, *kpis: KpiSpec) -> Path:
        """Package a version with these KPIs."""
        return a_bundle(self.folder, version, kpis)

    async def reports(self) -> list[PerformanceReport]:
        """The newest performance report of every key."""
        return await self.newest(PerformanceReport)


def a_bundle(folder: Path, version: str, kpis: Sequence[KpiSpec]) -> Path:
    """Package a version of the model with windows of an hour, a horizon of four and a segment."""
    spec = numeric_spec(
        3, version=version, label_horizon=HORIZON // 1000, window=3600, segments=("f0",), kpis=tuple(kpis)
    )
    feature = FeatureSpec(name="f0", kind="categorical", categories=CARRIERS)
    spec = msgspec.structs.replace(spec, features=(feature, *spec.features[1:]))
    return write_bundle(folder / f"demo-{version}", linear(3), spec).path


def hash_of(event_id: str) -> int:
    """The partition of an event: any function of it will do."""
    return sum(event_id.encode()) % PARTITIONS


@pytest.fixture
async def stage(kafka: ApacheKafka, topic_prefix: str, tmp_path: Path) -> Stage:
    kpis = (
        KpiSpec(name="cost", value="-5 * fp - 20 * fn"),
        KpiSpec(name="sales", value="sale - decision", missing=0),
    )
    bundles = [str(a_bundle(tmp_path, version, kpis)) for version in ("1", "2")]
    settings = {
        "DRIFTLINE_MODEL_BUNDLES": ",".join(bundles),
        "DRIFTLINE_REPORT_SECONDS": "0.1",  # older windows are reported after twelve times that
        "DRIFTLINE_IDLE_SECONDS": "2",
        "DRIFTLINE_GRACE_SECONDS": "0.5",
        "DRIFTLINE_CHECKPOINT_SECONDS": "0.5",
        "DRIFTLINE_TRIM_SECONDS": "0.5",
        "DRIFTLINE_SESSION_SECONDS": SESSION_SECONDS,
    }
    return await Stage.set_up(kafka, topic_prefix, tmp_path, settings=settings)
