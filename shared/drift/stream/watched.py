"""A model version as those who count need it: how to read its events, and how to code their values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.bundle.baseline import segment_features
from shared.bundle.spec import ModelSpec
from shared.drift.baseline import Baseline
from shared.drift.stream.coding import GroupCoder
from shared.drift.stream.groups import group_baseline
from shared.drift.stream.partials import GROUPS, Begin, Group
from shared.drift.stream.reading import FeatureReader

LEARN_EVENTS: Final = 5_000
MAX_FUTURE_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Watched:
    """One version of a model, ready to be counted.

    Attributes
    ----------
    begin
        What the merger is told about it.
    reader
        Of its events.
    coders
        One per group; None where the group's baseline is to be learnt: raw values are sent then.
    """

    model: str
    version: str
    begin: Begin
    reader: FeatureReader
    coders: dict[Group, GroupCoder | None]

    @classmethod
    def of(
        cls,
        spec: ModelSpec,
        baseline: Baseline | None,
        *,
        learn: int = LEARN_EVENTS,
        max_future: int = MAX_FUTURE_MS,
    ) -> Watched:
        """Return a version described by its bundle.

        Parameters
        ----------
        learn
            Events to learn a baseline from where there is none.
        max_future
            Milliseconds by which an event may lie after its record.
        """
        features = tuple((feature.name, str(feature.kind)) for feature in spec.features)
        coders: dict[Group, GroupCoder | None] = {}
        for group in GROUPS:
            known = group_baseline(baseline, group)
            coders[group] = None if known is None else GroupCoder(known)
        begin = Begin(
            baseline=b"" if baseline is None else baseline.encode(),
            features=features,
            window=spec.window * 1000,
            false_alarms_per_30_days=spec.false_alarms_per_30_days,
            events_per_30_days=None if spec.events_per_day is None else spec.events_per_day * 30.0,
            learn=learn,
            classes=spec.task != "regression",
            segments=segment_features(spec),
            seasonality=spec.seasonality,
        )
        reader = FeatureReader(spec.name, features, max_future=max_future)
        return cls(spec.name, spec.version, begin, reader, coders)
