"""What the flight model promises: its features with units, ranges and categories, and its output."""

from __future__ import annotations

import pandas as pd

from devstack.demo.flights import WEATHER
from shared.bundle.gates import GatesSpec
from shared.bundle.spec import FeatureSpec, ModelSpec, OutputSpec
from shared.bundle.truth import KpiSpec

MODEL = "flights"
CLASSES = ("on_time", "late")

WINDOW_SECONDS = 6 * 3600
"""A replay runs through weeks in a minute; one minute of event time would hold a single flight."""

LABEL_HORIZON_SECONDS = 3 * 3600
"""Labels come an hour of flight time after the departure; three leave room for those held up."""

GATES = GatesSpec(
    metric="brier",
    rule="superior",
    min_events=4_000,
    min_labels=4_000,
    max_latency_ratio=3.0,
    guard_segments=("carrier", "origin"),
    segment_margin=0.05,
    min_segment_labels=200,
    probation=3 * 86_400,
    automatic=True,
)
"""A newer version must be shown to be better. 4,000 flights are four or five days: a single day's weather
can make either look better."""

# Plausible, not observed: wide enough for any real reading, narrow enough for the broken sensor of
# 12 February (wind of 1048 mph at Newark), which is in the data and must never reach a model.
_RANGES: dict[str, tuple[str, float, float]] = {
    "dep_delay": ("minutes", -60, 1440),
    "distance": ("miles", 50, 6000),
    "hour": ("hour of the day, New York", 0, 23),
    "day_of_week": ("0 is Monday", 0, 6),
    "temp": ("degrees Fahrenheit", -30, 130),
    "dewp": ("degrees Fahrenheit", -60, 100),
    "humid": ("percent", 0, 100),
    "wind_dir": ("degrees", 0, 360),
    "wind_speed": ("miles per hour", 0, 200),
    "precip": ("inches per hour", 0, 12),
    "pressure": ("millibars", 870, 1085),
    "visib": ("miles", 0, 100),
}


def flight_spec(training: pd.DataFrame, version: str) -> ModelSpec:
    """Return the model's contract; the categories are those of the training data.

    An unknown carrier or airport of origin is an error of the sender. An unknown destination is not:
    airlines open routes (eight of 2013's destinations first appear after March), so it is scored as a
    missing value.
    """
    return ModelSpec(
        name=MODEL,
        version=version,
        task="binary",
        description="Will the flight arrive more than 15 minutes late? Known at departure.",
        classes=CLASSES,
        output=OutputSpec(score="probabilities"),
        window=WINDOW_SECONDS,
        segments=("carrier", "origin"),
        label_horizon=LABEL_HORIZON_SECONDS,
        gates=GATES,
        kpis=(
            KpiSpec(
                name="minutes_lost",
                value="5 * fp + (max(arrival_delay, 0) if fn else 0)",
                goal="min",
                description="Five minutes of staff for a warning in vain; the delay nobody was warned of.",
            ),
        ),
        features=(
            *(_numeric(name) for name in ("dep_delay", "distance", "hour", "day_of_week")),
            _categorical("carrier", training),
            _categorical("origin", training, encoding="one-hot"),
            _categorical("dest", training, unknown="missing", nullable=True),
            *(_numeric(name, nullable=True) for name in WEATHER),
        ),
    )


def _numeric(name: str, *, nullable: bool = False) -> FeatureSpec:
    unit, low, high = _RANGES[name]
    return FeatureSpec(name=name, unit=unit, min=low, max=high, nullable=nullable)


def _categorical(name: str, training: pd.DataFrame, **options: object) -> FeatureSpec:
    categories = tuple(sorted(training[name].unique()))
    return FeatureSpec(name=name, kind="categorical", categories=categories, **options)  # type: ignore[arg-type]
