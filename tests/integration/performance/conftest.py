"""A prefix's topics, a bundle with a short horizon, and the settings of a service over them."""

from __future__ import annotations

import random
import shutil
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
        fresh, shadow = [], []
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
            await self._send(topic, messages)

    def _label(self, p: Prediction) -> Label:
        truth = "yes" if self.rng.random() < p.score else "no"
        # Within the horizon with an hour to spare, or after it: an hour's messages are sent in no order.
        delay = self.rng.choice([self.rng.randrange(5 * HOUR // 2), HORIZON + self.rng.randrange(1, HOUR)])
        at = p.occurred_at + delay
        return Label(event_id=p.event_id, label=truth, observed_at=at)

    async def _send(self, topic: str, messages: list[Any]) -> None:
        by_event = [(hash_of(m.event_id), msgspec.json.encode(m)) for m in messages]
        await produce(self.client, topic, by_event)

    async def reports(self) -> list[PerformanceReport]:
        """The newest performance report of every key."""
        return await self.newest(PerformanceReport)


def hash_of(event_id: str) -> int:
    """The partition of an event: any function of it will do."""
    return sum(event_id.encode()) % PARTITIONS


@pytest.fixture
async def stage(kafka: ApacheKafka, topic_prefix: str, tmp_path: Path) -> Stage:
    bundles = []
    for version in ("1", "2"):
        feature = FeatureSpec(name="f0", kind="categorical", categories=CARRIERS)
        spec = numeric_spec(
            3,
            version=version,
            label_horizon=HORIZON // 1000,
            window=3600,
            segments=("f0",),
            kpis=(
                KpiSpec(name="cost", value="-5 * fp - 20 * fn"),
                KpiSpec(name="sales", value="sale - decision", missing=0),
            ),
        )
        spec = msgspec.structs.replace(spec, features=(feature, *spec.features[1:]))
        bundles.append(str(write_bundle(tmp_path / f"demo-{version}", linear(3), spec).path))
    settings = {
        "DRIFTLINE_MODEL_BUNDLES": ",".join(bundles),
        "DRIFTLINE_REPORT_SECONDS": "1",
        "DRIFTLINE_IDLE_SECONDS": "3",
        "DRIFTLINE_CHECKPOINT_SECONDS": "1",
        "DRIFTLINE_SESSION_SECONDS": SESSION_SECONDS,
    }
    return await Stage.set_up(kafka, topic_prefix, tmp_path, settings=settings)
