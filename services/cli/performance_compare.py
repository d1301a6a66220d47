"""By how much the KPIs of a model's versions differ, over what they answered at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from services.cli.performance_reading import VersionQuality
from shared.messages import KpiSums, PerformanceReport
from shared.quality.figures import Figure
from shared.quality.kpis import difference
from shared.quality.merging import merge_kpis


@dataclass(frozen=True, slots=True)
class Difference:
    """One KPI of one version minus that of another.

    Attributes
    ----------
    against, champion
        The other version, and whether it is the registry's champion; else it is who answered most.
    windows
        Windows that are final and in which both answered: others are no evidence, since a day differs from
        the next, and outcomes that come early from those that come late.
    verdict
        ``better`` or ``worse`` for the KPI's goal, or ``not decided``.
    """

    model: str
    kpi: str
    version: str
    against: str
    champion: bool
    figure: Figure
    windows: int
    verdict: str


def differences(versions: Sequence[VersionQuality]) -> list[Difference]:
    """Return every difference to the champion, or where nobody knows it to who answered most, by model."""
    found: list[Difference] = []
    for _, its in groupby(sorted(versions, key=lambda one: one.model), key=lambda one: one.model):
        of_model = list(its)
        reference = reference_of(of_model)
        found += [d for other in of_model if other is not reference for d in _differences(other, reference)]
    return found


def reference_of(versions: Sequence[VersionQuality]) -> VersionQuality:
    """Return what the versions of one model are compared with."""
    return max(versions, key=lambda one: (one.champion and one.every.answered > 0, one.every.answered))


def _differences(one: VersionQuality, other: VersionQuality) -> Iterator[Difference]:
    mine, others = _answered(one), _answered(other)
    both = sorted(mine.keys() & others.keys())
    kpis, reference = merge_kpis([mine[at].kpis for at in both]), merge_kpis([others[at].kpis for at in both])
    for name in kpis.keys() & reference.keys():
        figure = difference(kpis[name], reference[name])
        if figure is not None:
            yield Difference(
                one.model,
                name,
                one.version,
                other.version,
                other.champion,
                figure,
                len(both),
                _verdict(figure, kpis[name]),
            )


def _answered(version: VersionQuality) -> dict[tuple[int, int], PerformanceReport]:
    """Return the final windows in which a version answered the world, by their span."""
    return {(w.window.start, w.window.end): w for w in version.windows if w.final and w.answered}


def _verdict(figure: Figure, kpi: KpiSums) -> str:
    low, high = figure.low or 0.0, figure.high or 0.0
    if low <= 0 <= high:
        return "not decided"
    return "better" if (low > 0) == (kpi.goal == "max") else "worse"
