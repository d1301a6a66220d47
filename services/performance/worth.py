"""What decisions were worth: KPIs of answers whose truth or outcomes have changed, all at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.performance.cells import WindowCells
from services.performance.facts import Facts, Version
from services.performance.packets import Answered
from shared.bundle.truth import KpiSpec
from shared.kpi.expression import Expression, parse
from shared.quality.bins import bins_of
from shared.quality.exact import exact_sums

_UNIT: Final = float(1 << 20)

_FITS: Final = float(1 << 62)
"""What is below it in sum fits into 64 bits."""

Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class _Rows:
    """Answers whose KPIs come (+1) or go (-1), with what was known of each then."""

    windows: list[WindowCells] = field(default_factory=list)
    answers: list[Answered] = field(default_factory=list)
    truths: list[str | float | None] = field(default_factory=list)
    outcomes: list[Mapping[str, float]] = field(default_factory=list)
    final: list[bool] = field(default_factory=list)
    signs: list[int] = field(default_factory=list)


class Worth:
    """Gathers what is known of answers before and after a change, and counts the difference."""

    def __init__(self) -> None:
        self._rows: dict[Version, _Rows] = {}

    def __len__(self) -> int:
        return sum(len(rows.answers) for rows in self._rows.values())

    def note(
        self,
        window: WindowCells,
        answer: Answered,
        truth: str | float | None,
        outcomes: Mapping[str, float] | None,
        sign: int,
        *,
        final: bool = False,
    ) -> None:
        """Note that an answer's KPIs come or go, with this much known of it.

        ``final`` says that its horizon has passed, so that a missing outcome counts as declared.
        """
        if not window.facts.kpis or answer.shadow:
            return
        rows = self._rows.get(window.version)
        if rows is None:
            rows = self._rows[window.version] = _Rows()
        rows.windows.append(window)
        rows.answers.append(answer)
        rows.truths.append(truth)
        rows.outcomes.append(outcomes or {})
        rows.final.append(final)
        rows.signs.append(sign)

    def count(self) -> None:
        """Count everything noted."""
        for rows in self._rows.values():
            facts = rows.windows[0].facts
            for kpi in facts.kpis:
                _count(facts, kpi, rows)
        self._rows.clear()


_parse = lru_cache(maxsize=1_000)(parse)


def _count(facts: Facts, kpi: KpiSpec, rows: _Rows) -> None:
    expression = _parse(kpi.value)
    chosen, truth, known = _choices(facts, rows)
    columns = _outcome_columns(kpi, expression, rows)
    size = len(rows.answers)
    values = _value(facts, expression, rows, columns, chosen, truth, known)
    used = np.flatnonzero(~np.isnan(values))
    if not len(used):
        return
    numbers: dict[int, int] = {}
    windows: list[WindowCells] = []
    at = np.empty(size, np.int64)
    for row in used.tolist():  # a window has a KPI once one of its answers has: however the batches are cut
        window = rows.windows[row]
        place = numbers.setdefault(id(window), len(windows))
        if place == len(windows):
            windows.append(window)
        at[row] = place
    signs = np.array(rows.signs, np.int64)
    signed = values[used] * signs[used]
    counts = np.zeros(len(windows), np.int64)
    np.add.at(counts, at[used], signs[used])
    totals = exact_sums(signed, at[used], len(windows))
    squares = exact_sums(signed * values[used], at[used], len(windows))
    for window, count, total, square in zip(windows, counts.tolist(), totals, squares, strict=True):
        cell = window.kpi(kpi.name)
        cell.count += count
        cell.total += total
        cell.squares += square
        window.touch()
    if facts.task == "binary":
        _count_counterfactuals(facts, kpi, expression, rows, columns, (truth, known), used, at, windows)


def _count_counterfactuals(
    facts: Facts,
    kpi: KpiSpec,
    expression: Expression,
    rows: _Rows,
    columns: dict[str, Floats],
    truth_known: tuple[Floats, npt.NDArray[np.bool_]],
    used: npt.NDArray[np.intp],
    at: npt.NDArray[np.int64],
    windows: Sequence[WindowCells],
) -> None:
    """Count what the KPI would have been had each answer been the other class."""
    truth, known = truth_known
    scores = np.array([answer.score for answer in rows.answers], np.float64)
    bins = bins_of(scores, facts.edges)
    signs = np.array(rows.signs, np.int64)
    for decided, name in ((1.0, "if_positive"), (0.0, "if_negative")):
        decision = np.full(len(scores), decided)
        values = _value(facts, expression, rows, columns, decision, truth, known)[used]
        shape = len(windows), len(facts.edges) + 1
        sums = sums_by_bin(np.nan_to_num(values), signs[used], (at[used], bins[used]), shape)
        for window, more in zip(windows, sums, strict=True):
            cell = window.kpi(kpi.name)
            setattr(cell, name, getattr(cell, name) + more)


def sums_by_bin(
    values: Floats, signs: npt.NDArray[np.int64], places: tuple[Any, Any], shape: tuple[int, int]
) -> npt.NDArray[Any]:
    """Return the signed sums of each place in units of 2**-20, however large they are; of ``shape``.

    Whole numbers, so that what is taken back leaves nothing: of 64 bits where that is enough for all of them.

    Examples
    --------
    >>> place = np.zeros(2, int), np.zeros(2, int)
    >>> int(sums_by_bin(np.array([9e12, 9e12]), np.ones(2, int), place, (1, 1))[0, 0]) / _UNIT
    18000000000000.0
    """
    with np.errstate(over="ignore"):
        parts = np.rint(values * _UNIT)
    if not len(parts) or float(np.abs(parts).max()) * len(parts) < _FITS:
        sums = np.zeros(shape, np.int64)
        np.add.at(sums, places, parts.astype(np.int64) * signs)
        return sums
    large = np.zeros(shape, object)
    for value, part, sign, window, bin_ in zip(
        values.tolist(), parts.tolist(), signs.tolist(), *map(list, places), strict=True
    ):
        large[window, bin_] += sign * (int(part) if math.isfinite(part) else int(value) << 20)
    return large


def _choices(facts: Facts, rows: _Rows) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Return decision and truth as numbers, and where the truth is known; each shape ``(n,)``."""
    known = np.array([truth is not None for truth in rows.truths])
    if facts.task == "regression":
        decision = np.array([answer.score for answer in rows.answers], np.float64)
        truth = np.array([0.0 if t is None else t for t in rows.truths], np.float64)
        return decision, truth, known
    if facts.task == "binary":
        positive = facts.classes[1]
        decision = np.array([float(answer.label == positive) for answer in rows.answers])
        truth = np.array([float(t == positive) for t in rows.truths])
        return decision, truth, known
    places = facts.places
    decision = np.array([float(places.get(answer.label or "", -1)) for answer in rows.answers])
    truth = np.array([float(places.get(str(t), -1)) for t in rows.truths])
    return decision, truth, known


def _outcome_columns(kpi: KpiSpec, expression: Expression, rows: _Rows) -> dict[str, Floats]:
    missing = np.nan if kpi.missing is None else kpi.missing
    columns = {}
    for name in expression.outcomes:
        given = [
            outcomes.get(name, missing if final else np.nan)
            for outcomes, final in zip(rows.outcomes, rows.final, strict=True)
        ]
        columns[name] = np.array(given, np.float64)
    return columns


def _value(
    facts: Facts,
    expression: Expression,
    rows: _Rows,
    columns: dict[str, Floats],
    decision: Floats,
    truth: Floats,
    known: npt.NDArray[np.bool_],
) -> Floats:
    """Return the KPI of each row, shape ``(n,)``; NaN where something it needs is not known."""
    unknown = np.where(known, 0.0, np.nan)
    names = {
        "score": np.array([answer.score for answer in rows.answers], np.float64),
        "decision": decision,
        "truth": truth + unknown,
        "correct": (decision == truth) + unknown,
        "tp": decision * truth + unknown,
        "fp": decision * (1 - truth) + unknown,
        "tn": (1 - decision) * (1 - truth) + unknown,
        "fn": (1 - decision) * truth + unknown,
    }
    return expression(names | columns, len(decision))
