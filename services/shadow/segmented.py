"""The counts of the segments of one feature, a row for each: all rows are counted at once."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from services.shadow.binning import Layout
from services.shadow.sides import Floats, Ints, Texts
from shared.messages import Comparison, Segment, Sums

KINDS: Final = ("both", "champion_only", "candidate_only", "neither", "canary")
"""What became of an event, in the order of :class:`shared.messages.Comparison`."""

MOST_VALUES: Final = 50
OTHER: Final = "(other)"

Flips = dict[str, dict[str, int]]
"""Decisions by the champion's label, then the candidate's."""


class Counts(msgspec.Struct):
    """What is counted of a whole window; of a segment, how former releases kept it."""

    kinds: list[int]
    agreed: int = 0
    flips: Flips = {}
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def none(cls) -> Counts:
        """Return no counts."""
        return cls([0] * len(KINDS))

    def message(self, scale: float) -> Comparison:
        """Return the counts as a report carries them; sums are in units of 1 / ``scale``."""
        both = self.kinds[0]
        difference = Sums(n=both, total=self.total / scale, squares=self.squares / scale)
        return Comparison(
            **dict(zip(KINDS, self.kinds, strict=True)),
            agreed=self.agreed,
            flips={champion: dict(by) for champion, by in self.flips.items()},
            difference=difference,
        )


class Counted(NamedTuple):
    """Some events, made ready to be counted; ``m`` of the ``n`` are pairs.

    Attributes
    ----------
    kinds
        Position in :data:`KINDS`; shape ``(n,)``.
    both
        Rows of the pairs; shape ``(m,)``, as those below.
    agreed
        Whether both decided on the same label.
    totals, squares
        Of the scores' difference.
    bins
        Shape ``(5, m)``; see :class:`services.shadow.binning.Layout`.
    flips
        Rows of the pairs with different labels, and the codes of the two; each of shape ``(k,)``.
    """

    kinds: Ints
    both: npt.NDArray[np.intp]
    agreed: npt.NDArray[np.bool_]
    totals: Floats
    squares: Floats
    bins: npt.NDArray[np.intp]
    flips: tuple[npt.NDArray[np.intp], Ints, Ints]


class SegmentTable(msgspec.Struct):
    """The segments of one feature, at most :data:`MOST_VALUES` and the others together.

    Attributes
    ----------
    names
        In the order in which they first came.
    kinds
        Shape ``(rows, 6)``: :data:`KINDS`, and of the first those that agreed.
    sums
        Sum and sum of squares of the difference; shape ``(rows, 2)``.
    histograms
        Shape ``(rows, width)``: 800 bytes a row for probabilities, 1,736 for a regression.
    flips
        One mapping a row.
    """

    names: list[str]
    kinds: Ints
    sums: Floats
    histograms: Ints
    flips: list[Flips]

    @classmethod
    def empty(cls, width: int) -> SegmentTable:
        """Return a table without rows."""
        whole = np.zeros((0, len(KINDS) + 1), dtype=np.int64)
        return cls([], whole, np.zeros((0, 2)), np.zeros((0, width), dtype=np.int64), [])

    @classmethod
    def former(cls, values: dict[str, Counts], width: int) -> SegmentTable:
        """Return what a former release kept, which had no histograms by segment."""
        table = cls.empty(width)
        table._grow(list(values))
        for row, counts in enumerate(values.values()):
            table.kinds[row] = [*counts.kinds, counts.agreed]
            table.sums[row] = counts.total, counts.squares
            table.flips[row] = counts.flips
        return table

    def count(self, texts: Texts, counted: Counted, labels: list[str]) -> None:
        """Count events; ``labels`` gives the text of each code."""
        rows = self._rows(texts)
        self._flip(rows, counted, labels)
        kinds, pairs, agreed, totals, squares, bins = counted.kinds, rows[counted.both], *counted[2:6]
        here = rows >= 0
        if not here.all():  # some events have no value of this feature
            inside = here[counted.both]
            rows, kinds = rows[here], kinds[here]
            pairs, agreed, bins = pairs[inside], agreed[inside], bins[:, inside]
            totals, squares = totals[inside], squares[inside]
        size, width = self.histograms.shape
        found = np.bincount(rows * len(KINDS) + kinds, minlength=size * len(KINDS))
        self.kinds[:, :-1] += found.reshape(size, len(KINDS))
        self.kinds[:, -1] += np.bincount(pairs[agreed], minlength=size)
        self.sums[:, 0] += np.bincount(pairs, weights=totals, minlength=size)
        self.sums[:, 1] += np.bincount(pairs, weights=squares, minlength=size)
        places = (pairs * width + bins).ravel()
        self.histograms += np.bincount(places, minlength=size * width).reshape(size, width)

    def _rows(self, texts: Texts) -> npt.NDArray[np.intp]:
        """Return the row of each event, new ones where there are none; -1 where it has no value."""
        index = {name: row for row, name in enumerate(self.names)}
        full = len(index) > MOST_VALUES
        if not full and any(text is not None and text not in index for text in texts.values):
            fresh: dict[str, int] = {}
            # By first appearance: the same however events were cut up.
            for code in dict.fromkeys(texts.codes.tolist()):
                text = texts.values[code]
                if text is None or text in index:
                    continue
                name = text if len(index) < MOST_VALUES else OTHER
                if name not in index:
                    index[name] = fresh[name] = len(index)
            self._grow(list(fresh))
        other = index.get(OTHER, -1)
        found = [-1 if text is None else index.get(text, other) for text in texts.values]
        rows: npt.NDArray[np.intp] = np.array(found, dtype=np.intp)[texts.codes]
        return rows

    def _grow(self, names: list[str]) -> None:
        if not names:
            return
        self.names += names
        self.flips += [{} for _ in names]
        for field in ("kinds", "sums", "histograms"):
            table = getattr(self, field)
            more = np.zeros((len(names), table.shape[1]), dtype=table.dtype)
            setattr(self, field, np.concatenate((table, more)))

    def _flip(self, rows: npt.NDArray[np.intp], counted: Counted, labels: list[str]) -> None:
        at, champion, candidate = counted.flips
        if not len(at):
            return
        rows, known = rows[at], rows[at] >= 0
        for row, one, other, size in flip_counts(len(labels), rows[known], champion[known], candidate[known]):
            add_flips(self.flips[row], labels[one], labels[other], size)

    def messages(self, layout: Layout, scale: float) -> dict[str, Segment]:
        """Return the rows as a report carries them."""
        rows = zip(self.names, self.kinds.tolist(), self.sums.tolist(), self.flips, strict=True)
        found = {}
        for row, (name, (*kinds, agreed), (total, squares), flips) in enumerate(rows):
            comparison = Counts(kinds, agreed, flips, total, squares).message(scale)
            histograms: Any = layout.parts(self.histograms[row]) if kinds[0] else {}
            found[name] = Segment(comparison=comparison, **histograms)
        return found


def flip_counts(labels: int, *codes: Ints) -> Any:
    """Yield the different rows of columns of codes, the last two below ``labels``, and how often each is.

    Examples
    --------
    >>> list(flip_counts(5, np.array([0, 1, 0]), np.array([3, 3, 3]), np.array([4, 4, 4])))
    [(0, 3, 4, 2), (1, 3, 4, 1)]
    """
    rows, champion, candidate = codes
    keys, sizes = np.unique((rows * labels + champion) * labels + candidate, return_counts=True)
    for key, size in zip(keys.tolist(), sizes.tolist(), strict=True):
        yield key // labels // labels, key // labels % labels, key % labels, size


def add_flips(flips: Flips, champion: str, candidate: str, count: int) -> None:
    """Count decisions that went from one label to another."""
    by = flips.setdefault(champion, {})
    by[candidate] = by.get(candidate, 0) + count
