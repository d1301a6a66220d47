"""The sums of one window of one version: overall, by segment, and of its KPIs. Integers only."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from services.performance.facts import Facts, Version
from shared.messages import LabelCounts

MOST_SEGMENTS: Final = 50
OTHER: Final = "(other)"

MOST_RANKED: Final = 20
"""Classes of a model whose probabilities are kept by class, for AUC: two rows of bins for each."""

MOST_RANKED_IN_SEGMENTS: Final = 5

_MOST_IN_64_BITS: Final = 1 << 63

Counts = npt.NDArray[np.int64]

LOSSES: Final = ("log_loss", "brier")
ERRORS: Final = ("error", "absolute_error", "squared_error", "percentage_error")


class Cell:
    """One population of answers.

    Attributes
    ----------
    predictions, labels, correct
        Answers, those with a label that counts, and those of them that agree with it.
    scores, labelled, positives
        By bin of the score.
    score_sums
        By bin, the sum of the scores in units of 2**-30.
    confusion
        Labels by ``classes * truth + answer``.
    sums
        By name, ``[count, total, squares]`` in units of 2**-100.
    residuals
        Labels by bin of the residual.
    ranks
        Labels by bin of the probability of each class: two rows for each, of those whose truth is another
        one and of those whose truth it is. No rows where AUC is not of several classes.
    slot
        Its place in the batch that is being counted; -1 otherwise.
    """

    __slots__ = (
        "confusion", "correct", "labelled", "labels", "positives", "predictions", "ranks", "residuals",
        "score_sums", "scores", "slot", "sums",
    )  # fmt: skip

    def __init__(self, bins: int, ranked: int = 0) -> None:
        self.slot = -1
        self.predictions = self.labels = self.correct = 0
        self.scores: Counts = np.zeros(bins, np.int64)
        self.score_sums: Counts = np.zeros(bins, np.int64)
        self.labelled: Counts = np.zeros(bins, np.int64)
        self.positives: Counts = np.zeros(bins, np.int64)
        self.confusion: dict[int, int] = {}
        self.sums: dict[str, list[int]] = {}
        self.residuals: dict[int, int] = {}
        self.ranks: Counts = np.zeros((2 * ranked, bins), np.int64)

    def add_sum(self, name: str, count: int, total: int, squares: int) -> None:
        """Add to one of the exact sums."""
        kept = self.sums.setdefault(name, [0, 0, 0])
        kept[0] += count
        kept[1] += total
        kept[2] += squares

    def pack(self) -> list[Any]:
        """Return what :meth:`unpack` takes."""
        arrays = (self.scores, self.score_sums, self.labelled, self.positives)
        packed = [_sparse(array) for array in arrays]
        sums = {
            name: [count, str(total), str(squares)] for name, (count, total, squares) in self.sums.items()
        }
        ranks = [len(self.ranks), _sparse(self.ranks.ravel())]
        whole = [self.predictions, self.labels, self.correct, packed, self.confusion, sums, self.residuals]
        return [*whole, *([ranks] if len(self.ranks) else [])]

    @classmethod
    def unpack(cls, raw: list[Any], bins: int) -> Cell:
        """Return a packed cell; one of before there were ranks has none, since labels are missing in them."""
        whole, (rows, ranks) = raw[:7], raw[7] if len(raw) > 7 else (0, [])
        cell = cls(bins, rows // 2)
        cell.predictions, cell.labels, cell.correct, packed, cell.confusion, sums, cell.residuals = whole
        cell.ranks.ravel()[ranks[::2]] = ranks[1::2]
        for array, pairs in zip(
            (cell.scores, cell.score_sums, cell.labelled, cell.positives), packed, strict=True
        ):
            array[pairs[::2]] = pairs[1::2]
        cell.sums = {
            name: [count, int(total), int(squares)] for name, (count, total, squares) in sums.items()
        }
        return cell


def _sparse(array: npt.NDArray[Any]) -> list[int]:
    """Return positions and values in turn of what is not zero."""
    at = np.flatnonzero(array)
    pairs: list[int] = np.stack([at, array[at]], axis=1).ravel().tolist()
    return pairs


class KpiCell:
    """A KPI's sums: values in units of 2**-100, counterfactuals by bin in units of 2**-20.

    The counterfactuals are Python's integers: revenues of a bin are soon more than 64 bits hold.
    """

    __slots__ = ("count", "if_negative", "if_positive", "squares", "total")

    def __init__(self, bins: int) -> None:
        self.count = self.total = self.squares = 0
        self.if_positive: npt.NDArray[Any] = np.zeros(bins, object)
        self.if_negative: npt.NDArray[Any] = np.zeros(bins, object)

    def pack(self) -> list[Any]:
        """Return what :meth:`unpack` takes."""
        sparse = (_sparse(array) for array in (self.if_positive, self.if_negative))
        few = ([n if abs(n) < _MOST_IN_64_BITS else str(n) for n in pairs] for pairs in sparse)
        return [self.count, str(self.total), str(self.squares), *few]

    @classmethod
    def unpack(cls, raw: list[Any], bins: int) -> KpiCell:
        """Return a packed cell."""
        cell = cls(bins)
        cell.count, cell.total, cell.squares = raw[0], int(raw[1]), int(raw[2])
        for array, pairs in zip((cell.if_positive, cell.if_negative), raw[3:], strict=True):
            array[pairs[::2]] = list(map(int, pairs[1::2]))
        return cell


class WindowCells:
    """One window of one version.

    Attributes
    ----------
    counts
        What became of its labels, by field of :class:`LabelCounts`.
    changed
        Whether it has changed since it was last reported.
    dirty
        Whether it has changed since the last checkpoint.
    """

    def __init__(self, facts: Facts, start: int, first_offset: int) -> None:
        self.facts = facts
        self.start = start
        self.first_offset = first_offset
        self.bins = len(facts.edges) + 1
        self.answered = self.late = self.outcomes = self.late_outcomes = 0
        self.counts = dict.fromkeys(LabelCounts.__struct_fields__, 0)
        self.cells: dict[tuple[str, str], Cell] = {}
        self.kpis: dict[str, KpiCell] = {}
        self.changed = self.dirty = True
        self._routes: dict[tuple[tuple[str, str], ...], list[Cell]] = {}

    @property
    def key(self) -> tuple[str, str, int]:
        """Model, version and start."""
        return self.facts.model, self.facts.version, self.start

    @property
    def version(self) -> Version:
        """Model and version."""
        return self.facts.model, self.facts.version

    @property
    def due(self) -> int:
        """When the last of its answers is done with."""
        return self.facts.due(self.start + self.facts.window - 1)

    def touch(self) -> None:
        """Note that it has changed."""
        self.changed = self.dirty = True

    def route(self, segments: dict[str, str] | None) -> list[Cell]:
        """Return every cell that an answer with these segments is counted in."""
        key = tuple(segments.items()) if segments else ()
        route = self._routes.get(key)
        if route is None:
            route = [self._cell("", "")]
            route += [self._cell(name, value) for name, value in key if name in self.facts.segments]
            self._routes[key] = route
        return route

    def _cell(self, feature: str, value: str) -> Cell:
        cell = self.cells.get((feature, value))
        if cell is None:
            if feature and sum(name == feature for name, _ in self.cells) >= MOST_SEGMENTS and value != OTHER:
                return self._cell(feature, OTHER)
            cell = self.cells[feature, value] = Cell(self.bins, self._ranked(feature))
        return cell

    def _ranked(self, feature: str) -> int:
        """Return of how many classes a cell keeps the probabilities."""
        if self.facts.task != "multiclass":
            return 0
        classes = len(self.facts.classes)
        return classes if classes <= (MOST_RANKED_IN_SEGMENTS if feature else MOST_RANKED) else 0

    def kpi(self, name: str) -> KpiCell:
        """Return the sums of a KPI."""
        cell = self.kpis.get(name)
        if cell is None:
            cell = self.kpis[name] = KpiCell(self.bins)
        return cell

    def pack(self) -> bytes:
        """Return the window as bytes."""
        return _encode(
            _Packed(
                self.facts.model,
                self.facts.version,
                self.start,
                self.first_offset,
                [self.answered, self.late, self.outcomes, self.late_outcomes],
                self.counts,
                [(name, value, cell.pack()) for (name, value), cell in self.cells.items()],
                {name: kpi.pack() for name, kpi in self.kpis.items()},
            )
        )


class _Packed(msgspec.Struct, array_like=True):
    model: str
    version: str
    start: int
    first_offset: int
    numbers: list[int]
    counts: dict[str, int]
    cells: list[tuple[str, str, list[Any]]]
    kpis: dict[str, list[Any]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Packed, strict=False).decode


def unpack(raw: bytes, facts: dict[Version, Facts]) -> WindowCells:
    """Return the window in the bytes."""
    packed = _decode(raw)
    window = WindowCells(facts[packed.model, packed.version], packed.start, packed.first_offset)
    window.answered, window.late, window.outcomes, window.late_outcomes = packed.numbers
    window.counts |= packed.counts
    for feature, value, cell in packed.cells:
        window.cells[feature, value] = Cell.unpack(cell, window.bins)
    window.kpis = {name: KpiCell.unpack(kpi, window.bins) for name, kpi in packed.kpis.items()}
    window.dirty = False
    return window
