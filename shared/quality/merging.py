"""Reports added up: over partitions, over windows, or both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, TypeVar

import msgspec

from shared.messages import ClassScores, KpiSums, LabelCounts, PerformanceReport, Realised, Sums, Window

Number = TypeVar("Number", int, float)


def merge(reports: Iterable[PerformanceReport]) -> PerformanceReport:
    """Return one report of several of one model version: sums of sums.

    The window reaches from the first to the last; it is final if all are. Give it the newest report of each
    key only (:class:`shared.reports.LatestReports`).

    Raises
    ------
    ValueError
        There is no report, or they are of several versions, or of bins that differ.

    Examples
    --------
    >>> def part(n, partition):
    ...     return PerformanceReport(
    ...         model="m", model_version="1", window=Window(start=0, end=9), source_topic="log",
    ...         partition=partition, first_offset=0, next_offset=1, written_at=0, task="binary", horizon=1,
    ...         labels=LabelCounts(joined=n), quality=Realised(predictions=n, scores=(n, 0)), edges=(0.5,))
    >>> merged = merge([part(2, 0), part(3, 1)])
    >>> merged.quality.predictions, merged.quality.scores, merged.labels.joined
    (5, (5, 0), 5)
    """
    given = list(reports)
    shapes = {(report.model, report.model_version, report.edges) for report in given}
    if len(shapes) != 1:
        raise ValueError(f"only reports of one version and its bins can be merged, not of {len(shapes)}")
    segments: dict[str, dict[str, list[Realised]]] = {}
    for report in given:
        for feature, values in report.segments.items():
            for value, quality in values.items():
                segments.setdefault(feature, {}).setdefault(value, []).append(quality)
    return msgspec.structs.replace(
        given[-1],
        window=Window(start=min(r.window.start for r in given), end=max(r.window.end for r in given)),
        final=all(report.final for report in given),
        answered=sum(report.answered for report in given),
        outcomes=sum(report.outcomes for report in given),
        late_outcomes=sum(report.late_outcomes for report in given),
        late=sum(report.late for report in given),
        orphans=orphans_of(given),
        labels=_labels([report.labels for report in given]),
        quality=merge_quality([report.quality for report in given]),
        segments={
            feature: {value: merge_quality(parts) for value, parts in sorted(values.items())}
            for feature, values in sorted(segments.items())
        },
        kpis=merge_kpis([report.kpis for report in given]),
    )


def orphans_of(reports: Iterable[PerformanceReport]) -> int:
    """Return the labels and outcomes without an answer: the latest total of each partition, added up."""
    latest: dict[tuple[str, int], int] = {}
    for report in reports:
        at = report.source_topic, report.partition
        latest[at] = max(latest.get(at, 0), report.orphans)
    return sum(latest.values())


def _labels(parts: Sequence[LabelCounts]) -> LabelCounts:
    names = LabelCounts.__struct_fields__
    return LabelCounts(**{name: sum(getattr(part, name) for part in parts) for name in names})


def merge_quality(parts: Sequence[Realised]) -> Realised:
    """Return the sums of several populations as those of one."""
    return Realised(**{name: _merged(name, parts) for name in Realised.__struct_fields__})


def _merged(name: str, parts: Sequence[Realised]) -> Any:
    values = [getattr(part, name) for part in parts]
    if name in ("predictions", "labels", "correct"):
        return sum(values)
    if name in ("scores", "expected", "labelled", "positives"):
        return _columns(values)
    if name == "confusion":
        confusion: dict[str, dict[str, int]] = {}
        for table in values:
            for truth, row in table.items():
                _add(confusion.setdefault(truth, {}), row)
        return confusion
    if name == "by_class":
        return _by_class(values)
    if name == "residuals":
        residuals: dict[str, int] = {}
        for counts in values:
            _add(residuals, counts)
        return residuals
    return _sums([value for value in values if value is not None])


def _by_class(parts: Sequence[Mapping[str, ClassScores]]) -> dict[str, ClassScores]:
    merged = {}
    for name in dict.fromkeys(name for part in parts for name in part):
        its = [part[name] for part in parts if name in part]
        positives, negatives = [one.positives for one in its], [one.negatives for one in its]
        merged[name] = ClassScores(positives=_columns(positives), negatives=_columns(negatives))
    return merged


def _columns(parts: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(map(sum, zip_longest(*parts, fillvalue=0)))


def _add(into: dict[str, int], more: Mapping[str, int]) -> None:
    for name, count in more.items():
        into[name] = into.get(name, 0) + count


def _sums(parts: Sequence[Sums]) -> Sums | None:
    if not parts:
        return None
    return Sums(
        n=sum(part.n for part in parts),
        total=sum(part.total for part in parts),
        squares=sum(part.squares for part in parts),
    )


def merge_kpis(parts: Sequence[Mapping[str, KpiSums]]) -> dict[str, KpiSums]:
    """Return the KPIs of several populations as those of one."""
    names = sorted({name for part in parts for name in part})
    merged = {}
    for name in names:
        its = [part[name] for part in parts if name in part]
        merged[name] = KpiSums(
            value=_sums([kpi.value for kpi in its]) or Sums(),
            goal=its[-1].goal,
            if_positive=_columns([kpi.if_positive for kpi in its]),
            if_negative=_columns([kpi.if_negative for kpi in its]),
        )
    return merged


def alike(reports: Iterable[PerformanceReport]) -> list[PerformanceReport]:
    """Return the reports whose bins are those of the newest window; others of the version cannot be added.

    Bins change when a version was judged by an assumed contract before its bundle could be had.
    """
    given = list(reports)
    if not given:
        return []
    edges = max(given, key=lambda report: (report.window.start, report.written_at)).edges
    return [report for report in given if report.edges == edges]


def by_window(reports: Iterable[PerformanceReport]) -> list[PerformanceReport]:
    """Return one report per version and window, merged over partitions, in the order of their windows."""
    return _grouped(reports, lambda report: (report.model, report.window.start, report.model_version))


def by_version(reports: Iterable[PerformanceReport]) -> list[PerformanceReport]:
    """Return one report per version, merged over partitions and windows."""
    return _grouped(reports, lambda report: (report.model, report.model_version))


def _grouped(
    reports: Iterable[PerformanceReport], key: Callable[[PerformanceReport], tuple[Any, ...]]
) -> list[PerformanceReport]:
    groups: dict[tuple[Any, ...], list[PerformanceReport]] = {}
    for report in reports:
        groups.setdefault(key(report), []).append(report)
    return [merge(groups[name]) for name in sorted(groups)]
