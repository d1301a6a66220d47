"""Prometheus counters and gauges whose series are bounded: past a limit, new ones become "other".

A label that holds names somebody else chooses (models, features, segments) would otherwise make as many
series as there are names, in this process's memory and in every Prometheus that scrapes it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any, Final, TypeVar

import prometheus_client

OTHER: Final = "other"
"""What stands in an open label of the series that takes everything past the limit."""

MOST_SERIES: Final = 500
"""Series of one metric with names of their own, in one process."""

OPEN_LABELS: Final = frozenset({
    "candidate", "channel", "entity", "feature", "group", "kpi", "model", "receiver", "rule", "segment",
    "subject", "topic", "version",
})  # fmt: skip
"""Labels whose values are not enumerated in the code."""

T = TypeVar("T", bound="prometheus_client.metrics.MetricWrapperBase")


def within(
    values: tuple[str, ...], names: Sequence[str], known: Container[tuple[str, ...]], count: int, most: int
) -> tuple[str, ...]:
    """Return the label values to use: as they are while known or below the limit, else with "other".

    Examples
    --------
    >>> within(("flights", "failed"), ["model", "outcome"], {}, count=500, most=500)
    ('other', 'failed')
    """
    if count < most or values in known:
        return values
    return tuple(OTHER if name in OPEN_LABELS else value for name, value in zip(names, values, strict=True))


class _Bounded:
    """Mixed in before a collector of prometheus_client."""

    _labelnames: tuple[str, ...]
    _metrics: Any

    def labels(self, *values: object, **by_name: object) -> Any:
        """Return the series with these label values, or the one of all others past the limit."""
        if by_name:
            values = tuple(by_name.get(name, "") for name in self._labelnames)
        texts = tuple(map(str, values))
        if len(texts) == len(self._labelnames):
            texts = within(texts, self._labelnames, self._metrics, len(self._metrics), MOST_SERIES)
        return super().labels(*texts)  # type: ignore[misc]


class Counter(_Bounded, prometheus_client.Counter):
    """A counter with at most :data:`MOST_SERIES` series of their own name."""


class Gauge(_Bounded, prometheus_client.Gauge):
    """A gauge with at most :data:`MOST_SERIES` series of their own name; "other" holds the last one set."""
