"""Gauge families that are filled anew for every scrape, bounded like all others."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily

from shared.bounded import MOST_SERIES


class Gauges:
    """Families by name; each is declared where its first sample is put.

    A family takes at most :data:`shared.bounded.MOST_SERIES` samples. Past it a sample is left out and
    counted in ``driftline_exposition_left_out``: a sum of gauges under "other" would mean nothing.

    Examples
    --------
    >>> gauges = Gauges()
    >>> gauges.put("driftline_model_windows", "Windows known", 3, model="flights")
    >>> [sample.value for family in gauges.families() for sample in family.samples]
    [3.0, 0]
    """

    def __init__(self) -> None:
        self._families: dict[str, GaugeMetricFamily] = {}
        self._left_out = 0

    def put(self, name: str, documentation: str, value: float | None, **labels: str) -> None:
        """Add a sample; ``None`` (nothing known) adds none."""
        if value is None:
            return
        family = self._families.get(name)
        if family is None:
            family = GaugeMetricFamily(name, documentation, labels=list(labels))
            self._families[name] = family
        if len(family.samples) >= MOST_SERIES:
            self._left_out += 1
            return
        family.add_metric(list(labels.values()), float(value))

    def samples(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of the samples that have these labels, in the order they were put."""
        family = self._families.get(name)
        return [
            (sample.labels, sample.value)
            for sample in (family.samples if family is not None else ())
            if labels.items() <= sample.labels.items()
        ]

    def first(self, name: str, **labels: str) -> float | None:
        """Return the value of the first of :meth:`samples`, ``None`` where there is none."""
        return next((value for _, value in self.samples(name, **labels)), None)

    def families(self) -> Iterator[GaugeMetricFamily]:
        """Yield every family, and last how many samples found no room."""
        yield from self._families.values()
        yield GaugeMetricFamily(
            "driftline_exposition_left_out", "Samples past the limit of their family", value=self._left_out
        )


def ratio(part: float, whole: float) -> float | None:
    """Return ``part / whole``, ``None`` of nothing."""
    return part / whole if whole else None
