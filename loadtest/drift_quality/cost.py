"""What detection costs: CPU per event for 10 to 200 features, and memory per channel."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.drift import Detector, SlotCounter, channel_bets, fit_baseline

ROWS = 20_000
BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU microseconds per event of counting values into slots and of detecting, and KiB per channel."""

    features: int
    counting: float
    detecting: float
    kib_per_channel: float


def measure(features: int, events: int, seed: int = 1) -> Cost:
    """Return the cost for standard normal features that come as lists of floats, as events do."""
    rng = np.random.default_rng(seed)
    names = [f"f{i}" for i in range(features)]
    kinds: dict[str, Any] = dict.fromkeys(names, "numeric")
    baseline = fit_baseline({name: rng.normal(size=ROWS) for name in names}, kinds)
    bets = [channel_bets(channel) for channel in baseline.calibrated]
    tracemalloc.start()
    detector, counter = Detector(bets, 1e7), SlotCounter(baseline)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    batch = {name: rng.normal(size=BATCH).tolist() for name in names}
    detector.update(counter.add(batch))
    rounds = max(1, events // BATCH)
    begun = time.process_time()
    slots = [counter.add(batch) for _ in range(rounds)]
    counted = time.process_time()
    for part in slots:
        detector.update(part)
    done = time.process_time()
    unit = 1e6 / (rounds * BATCH)
    return Cost(features, (counted - begun) * unit, (done - counted) * unit, used / 1024 / len(bets))
