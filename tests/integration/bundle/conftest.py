from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shared.bundle.infer import Wishes

CARRIERS = ("AA", "DL", "UA", "Ünïcode")


@pytest.fixture(scope="session")
def flights() -> pa.Table:
    """600 made-up flights: numbers (one with nulls), a boolean, a string, and three targets."""
    rng = np.random.default_rng(7)
    size = 600
    distance = rng.uniform(100, 2500, size).round(0)
    hour = rng.integers(0, 24, size)
    delay = rng.normal(10, 30, size).round(1)
    carrier = rng.choice(CARRIERS, size)
    rain = rng.random(size) < 0.3
    minutes = delay + 0.01 * distance + 20 * rain + 5 * (carrier == "UA") + rng.normal(0, 5, size)
    wind = rng.gamma(2, 5, size).round(2)
    return pa.table(
        {
            "distance": distance,
            "hour": hour,
            "delay": delay,
            "wind": pa.array(wind, mask=rng.random(size) < 0.2),
            "rain": rain,
            "carrier": carrier,
            "late": minutes > 30,
            "how_late": np.array(["early", "ontime", "late"])[np.digitize(minutes, [10, 40])],
            "minutes": minutes,
        }
    )


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "bundle"


MakeWishes = Callable[..., Wishes]


@pytest.fixture
def wishes() -> MakeWishes:
    """Wishes for a model on ``flights``: a name, a version, and the three targets left out."""

    def make(**others: object) -> Wishes:
        defaults = {"name": "flights", "version": "1", "exclude": ("late", "how_late", "minutes")}
        return Wishes(**{**defaults, **others})  # type: ignore[arg-type]

    return make
