"""Counts a batch's changes into the cells, column by column instead of one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from services.performance.cells import ERRORS, LOSSES, Cell, WindowCells
from services.performance.facts import Facts
from services.performance.packets import Answered
from shared.quality.bins import bins_of
from shared.quality.exact import exact_sums
from shared.quality.residuals import bins_of_residuals

LOWEST: Final = 1e-15
"""Probabilities are clipped to this in a log loss, so that one certain mistake is not the whole sum."""

_SCORE_UNIT: Final = 1 << 30

Segments = dict[str, str] | None

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


AnswerChange = tuple[WindowCells, float, Segments, bool, int]
"""Window, score, segments, whether in the shadow, and +1 where the answer comes, -1 where it goes.

The few fields that are counted, since whole answers would be kept in memory until then.
"""

LabelChange = tuple[WindowCells, float, str | None, Segments, dict[str, float] | None, str | float, int]
"""Window, score, label, segments and probabilities of an answer; the truth; +1 or -1."""


class Tally:
    """Gathers the changes of one version, and counts them all at once.

    Attributes
    ----------
    answers, labels
        What has been noted.
    """

    def __init__(self) -> None:
        self.answers: list[AnswerChange] = []
        self.labels: list[LabelChange] = []

    def __len__(self) -> int:
        return len(self.answers) + len(self.labels)

    def answer(self, window: WindowCells, answer: Answered, sign: int) -> None:
        """Note that an answer comes or goes."""
        self.answers.append((window, answer.score, answer.segments, answer.shadow, sign))

    def label(self, window: WindowCells, answer: Answered, truth: str | float, sign: int) -> None:
        """Note that an answer gains or loses a label."""
        self.labels.append(
            (window, answer.score, answer.label, answer.segments, answer.probabilities, truth, sign)
        )

    def count(self) -> None:
        """Count everything noted."""
        if self.answers:
            _count_answers(self.answers[0][0].facts, self.answers)
        if self.labels:
            _count_labels(self.labels[0][0].facts, self.labels)
        self.answers.clear()
        self.labels.clear()


class _Spread:
    """Rows spread over the cells they are counted in: one entry per row and cell.

    Attributes
    ----------
    cells
        The distinct cells.
    rows, at
        Row, and position in ``cells``, of each entry.
    """

    def __init__(self, windows: Sequence[WindowCells], segments: Sequence[Segments]) -> None:
        self.cells: list[Cell] = []
        rows: list[int] = []
        at: list[int] = []
        for row, (window, its) in enumerate(zip(windows, segments, strict=True)):
            for cell in window.route(its):
                if cell.slot < 0:
                    cell.slot = len(self.cells)
                    self.cells.append(cell)
                rows.append(row)
                at.append(cell.slot)
        for window in set(windows):
            window.touch()
        for cell in self.cells:
            cell.slot = -1
        self.rows = np.array(rows, np.int64)
        self.at = np.array(at, np.int64)

    def by_bin(self, bins: Ints, amounts: Ints, width: int) -> Ints:
        """Return the sum of ``amounts`` per cell and bin, shape ``(cells, width)``."""
        sums = np.zeros(len(self.cells) * width, np.int64)
        np.add.at(sums, self.at * width + bins[self.rows], amounts[self.rows])
        return sums.reshape(-1, width)

    def totals(self, amounts: Ints) -> list[int]:
        """Return the sum of ``amounts`` per cell."""
        sums = np.zeros(len(self.cells), np.int64)
        np.add.at(sums, self.at, amounts[self.rows])
        totals: list[int] = sums.tolist()
        return totals

    def tally(self, codes: Ints, signs: Ints, add: Callable[[Cell, int, int], None], width: int) -> None:
        """Call ``add`` with each cell, code and how often, taken signed, it came in the cell."""
        keys, where = np.unique(self.at * width + codes[self.rows], return_inverse=True)
        sums = np.zeros(len(keys), np.int64)
        np.add.at(sums, where, signs[self.rows])
        for key, amount in zip(keys.tolist(), sums.tolist(), strict=True):
            if amount:
                add(self.cells[key // width], key % width, amount)

    def exact(
        self, name: str, values: Floats, signs: Ints, used: npt.NDArray[np.bool_] | None = None
    ) -> None:
        """Add values and their squares to the exact sums of a name; rows not ``used`` are left out."""
        rows, at = self.rows, self.at
        if used is not None:
            kept = used[rows]
            rows, at = rows[kept], at[kept]
        counts = np.zeros(len(self.cells), np.int64)
        np.add.at(counts, at, signs[rows])
        signed = values * signs
        totals = exact_sums(signed[rows], at, len(self.cells))
        squares = exact_sums((signed * values)[rows], at, len(self.cells))
        for cell, count, total, square in zip(self.cells, counts.tolist(), totals, squares, strict=True):
            cell.add_sum(name, count, total, square)


def _count_answers(facts: Facts, changes: list[AnswerChange]) -> None:
    windows, given, segments, shadows, given_signs = zip(*changes, strict=True)
    for window, shadow, sign in zip(windows, shadows, given_signs, strict=True):
        window.answered += 0 if shadow else sign
    spread = _Spread(windows, segments)
    signs = np.array(given_signs, np.int64)
    for cell, number in zip(spread.cells, spread.totals(signs), strict=True):
        cell.predictions += number
    if facts.task == "regression":
        return
    # A probability, whatever a stranger writes: the sums are integers, and have no room for more.
    scores = np.clip(np.array(given, np.float64), 0.0, 1.0)
    width = len(facts.edges) + 1
    bins = bins_of(scores, facts.edges).astype(np.int64)
    counts = spread.by_bin(bins, signs, width)
    sums = spread.by_bin(bins, np.rint(scores * _SCORE_UNIT).astype(np.int64) * signs, width)
    for cell, more, total in zip(spread.cells, counts, sums, strict=True):
        cell.scores += more
        cell.score_sums += total


def _count_labels(facts: Facts, changes: list[LabelChange]) -> None:
    windows, given, labels, segments, probabilities, truths, given_signs = zip(*changes, strict=True)
    for window, sign in zip(windows, given_signs, strict=True):
        window.counts["joined"] += sign
    spread = _Spread(windows, segments)
    signs = np.array(given_signs, np.int64)
    for cell, number in zip(spread.cells, spread.totals(signs), strict=True):
        cell.labels += number
    scores = np.array(given, np.float64)
    if facts.task == "regression":
        _count_errors(spread, scores, np.array(truths, np.float64), signs)
    else:
        _count_classes(facts, spread, scores, (labels, probabilities, truths), signs)


def _count_errors(spread: _Spread, scores: Floats, truth: Floats, signs: Ints) -> None:
    error = scores - truth
    size = np.abs(error)
    some = truth != 0
    share = np.divide(size, np.abs(truth), out=np.zeros_like(size), where=some)
    columns = dict(zip(ERRORS, (error, size, error * error, share), strict=True))
    for name, values in columns.items():
        spread.exact(name, values, signs, some if name == "percentage_error" else None)
    bins = bins_of_residuals(error)
    middle = 1 << 14

    def add(cell: Cell, code: int, amount: int) -> None:
        bin_ = code - middle
        cell.residuals[bin_] = cell.residuals.get(bin_, 0) + amount
        if not cell.residuals[bin_]:
            del cell.residuals[bin_]

    spread.tally(bins + middle, signs, add, 2 * middle)


def _count_classes(
    facts: Facts, spread: _Spread, scores: Floats, said: tuple[Any, Any, Any], signs: Ints
) -> None:
    places, classes = facts.places, len(facts.classes)
    labels, probabilities, truths = said
    truth = np.array([places[value] for value in truths], np.int64)
    chosen = np.array([places.get(label, 0) for label in labels], np.int64)
    right = chosen == truth
    if facts.task == "binary":
        positive = truth == 1
        given = np.where(positive, scores, 1 - scores)
        brier = (scores - positive) ** 2
    else:
        positive = right
        table = _table(facts, zip(scores.tolist(), labels, probabilities, strict=True), len(truth))
        given, brier = _of_the_truth(table, truth)
        told = np.array([its is not None for its in probabilities])
        _rank(facts, spread, table, truth, signs * told)
    loss = -np.log(np.clip(given, LOWEST, 1.0))
    for cell, number in zip(spread.cells, spread.totals(signs * right), strict=True):
        cell.correct += number
    width = len(facts.edges) + 1
    bins = bins_of(scores, facts.edges).astype(np.int64)
    labelled, positives = spread.by_bin(bins, signs, width), spread.by_bin(bins, signs * positive, width)
    for cell, more, up in zip(spread.cells, labelled, positives, strict=True):
        cell.labelled += more
        cell.positives += up
    for name, values in zip(LOSSES, (loss, brier), strict=True):
        spread.exact(name, values, signs)

    def add(cell: Cell, code: int, amount: int) -> None:
        cell.confusion[code] = cell.confusion.get(code, 0) + amount
        if not cell.confusion[code]:
            del cell.confusion[code]

    spread.tally(truth * classes + chosen, signs, add, classes * classes)


def _table(facts: Facts, answers: Iterable[Any], rows: int) -> Floats:
    """Return the probability that each answer gave to each class, shape ``(rows, classes)``."""
    table = np.zeros((rows, len(facts.classes)))
    for row, (score, label, probabilities) in enumerate(answers):
        given = probabilities or ({label: score} if label is not None else {})
        for name, value in given.items():
            if (place := facts.places.get(name)) is not None:
                table[row, place] = value
    return table


def _of_the_truth(table: Floats, truth: Ints) -> tuple[Floats, Floats]:
    """Return the probability given to the true class, and the Brier score (summed over the classes)."""
    rows = np.arange(len(truth))
    target = np.zeros_like(table)
    target[rows, truth] = 1
    return table[rows, truth], ((table - target) ** 2).sum(axis=1)


def _rank(facts: Facts, spread: _Spread, table: Floats, truth: Ints, signs: Ints) -> None:
    """Count labels by bin of each class's probability, apart by whether it was the truth."""
    cells = [(at, cell) for at, cell in enumerate(spread.cells) if len(cell.ranks)]
    if not cells:
        return
    width = len(facts.edges) + 1
    for place in range(len(facts.classes)):
        bins = bins_of(table[:, place], facts.edges).astype(np.int64)
        sums = spread.by_bin(bins + width * (truth == place), signs, 2 * width).reshape(-1, 2, width)
        for at, cell in cells:
            cell.ranks[2 * place : 2 * place + 2] += sums[at]
