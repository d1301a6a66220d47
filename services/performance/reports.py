"""A window's sums as the report that everybody reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from services.performance.cells import Cell, Counts, KpiCell, WindowCells
from services.performance.facts import Facts
from shared.drift.label_baseline import SCORE_EDGES
from shared.messages import ClassScores, KpiSums, LabelCounts, PerformanceReport, Realised, Sums, Window
from shared.quality.exact import as_float

_SCORE_UNIT: Final = float(1 << 30)
_KPI_UNIT: Final = 1 << 20


def report_of(
    window: WindowCells, *, topic: str, partition: int, next_offset: int, now: int, final: bool, orphans: int
) -> PerformanceReport:
    """Return the report of a window as it stands; ``orphans`` is the partition's, see the message."""
    facts = window.facts
    segments: dict[str, dict[str, Realised]] = {}
    overall = Realised()
    for (feature, value), cell in window.cells.items():
        if feature:
            segments.setdefault(feature, {})[value] = _realised(facts, cell)
        else:
            overall = _realised(facts, cell)
    return PerformanceReport(
        model=facts.model,
        model_version=facts.version,
        window=Window(start=window.start, end=window.start + facts.window),
        source_topic=topic,
        partition=partition,
        first_offset=window.first_offset,
        next_offset=next_offset,
        written_at=now,
        final=final,
        task=facts.task,
        answered=window.answered,
        horizon=facts.horizon,
        edges=facts.edges,
        threshold=facts.threshold if facts.task == "binary" else None,
        positive=facts.classes[1] if facts.task == "binary" else None,
        calibration_edges=SCORE_EDGES if facts.label_baseline is not None else (),
        calibration_rows=_rows(facts),
        labels=LabelCounts(**window.counts),
        quality=overall,
        segments=segments,
        kpis={
            kpi.name: _kpi(window.kpis[kpi.name], kpi.goal) for kpi in facts.kpis if kpi.name in window.kpis
        },
        outcomes=window.outcomes,
        late_outcomes=window.late_outcomes,
        late=window.late,
        orphans=orphans,
    )


def _realised(facts: Facts, cell: Cell) -> Realised:
    sums: dict[str, Any] = {name: _sums(*numbers) for name, numbers in cell.sums.items()}
    if facts.task == "regression":
        residuals = {str(bin_): count for bin_, count in sorted(cell.residuals.items())}
        return Realised(predictions=cell.predictions, labels=cell.labels, residuals=residuals, **sums)
    return Realised(
        predictions=cell.predictions,
        labels=cell.labels,
        correct=cell.correct,
        scores=_whole(cell.scores),
        expected=_expected(facts, cell),
        labelled=_whole(cell.labelled),
        positives=_whole(cell.positives),
        confusion=_confusion(facts, cell),
        by_class=_by_class(facts, cell),
        **sums,
    )


def _rows(facts: Facts) -> tuple[float, ...]:
    """Return the independent labels that the calibration of each bin rests on."""
    baseline = facts.label_baseline
    return () if baseline is None else tuple((n + 1) / baseline.deff for n in baseline.labels)


def _whole(counts: Counts) -> tuple[int, ...]:
    return tuple(counts.tolist()) if counts.any() else ()


def _expected(facts: Facts, cell: Cell) -> tuple[float, ...]:
    """Return the positives that are expected per bin: every bin lies within one of the baseline's."""
    if not cell.scores.any():
        return ()
    if facts.label_baseline is None:
        return tuple((cell.score_sums / _SCORE_UNIT).tolist())
    lower = np.array([-np.inf, *facts.edges])
    rates = facts.label_baseline.calibration[np.searchsorted(SCORE_EDGES, lower, side="right")]
    return tuple((cell.scores * rates).tolist())


def _by_class(facts: Facts, cell: Cell) -> dict[str, ClassScores]:
    rows = zip(facts.classes, cell.ranks[0::2], cell.ranks[1::2], strict=False)
    return {
        name: ClassScores(positives=_whole(positives), negatives=_whole(negatives))
        for name, negatives, positives in rows
        if positives.any() or negatives.any()
    }


def _confusion(facts: Facts, cell: Cell) -> dict[str, dict[str, int]]:
    confusion: dict[str, dict[str, int]] = {}
    classes = len(facts.classes)
    for code, count in sorted(cell.confusion.items()):
        truth, chosen = divmod(code, classes)
        confusion.setdefault(facts.classes[truth], {})[facts.classes[chosen]] = count
    return confusion


def _sums(count: int, total: int, squares: int) -> Sums:
    return Sums(n=count, total=as_float(total), squares=as_float(squares))


def _kpi(cell: KpiCell, goal: Literal["max", "min"]) -> KpiSums:
    return KpiSums(
        value=_sums(cell.count, cell.total, cell.squares),
        goal=goal,
        if_positive=_scaled(cell.if_positive),
        if_negative=_scaled(cell.if_negative),
    )


def _scaled(counts: npt.NDArray[Any]) -> tuple[float, ...]:
    return tuple(count / _KPI_UNIT for count in counts.tolist()) if counts.any() else ()


def newest_first(windows: Iterable[WindowCells]) -> list[WindowCells]:
    """Return windows by start, the newest first."""
    return sorted(windows, key=lambda window: window.key[::-1], reverse=True)
