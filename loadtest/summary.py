"""Rounds to figures: medians with their spread, and ratios taken within each round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some rounds and the extremes around it.

    Examples
    --------
    >>> print(Spread.of([3.0, 1.0, 2.5]))
    2.50 (1.00..3.00)
    >>> print(Spread.of([1234.0]))
    1,234
    """

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of one value per round; there must be one at least."""
        return cls(median(values), min(values), max(values), len(values))

    def __str__(self) -> str:
        if self.rounds == 1:
            return _number(self.median)
        return f"{_number(self.median)} ({_number(self.low)}..{_number(self.high)})"

    def as_json(self) -> dict[str, Any]:
        """Return all four figures by name."""
        return asdict(self)


def ratios(ours: Sequence[float | None], theirs: Sequence[float | None]) -> Spread | None:
    """Return ``ours / theirs`` round by round; None where no round has both.

    On a machine whose other tenants come and go, two figures of the same round were measured minutes
    apart, two of different runs were not.

    Examples
    --------
    >>> ratios([2.0, 4.0, None], [1.0, 1.0, 1.0])
    Spread(median=3.0, low=2.0, high=4.0, rounds=2)
    """
    pairs = zip(ours, theirs, strict=True)
    values = [a / b for a, b in pairs if a is not None and b is not None and b > 0]
    return Spread.of(values) if values else None


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table that is also legible as text; the first column is left-aligned.

    Examples
    --------
    >>> print(markdown(["what", "us"], [["echo", 3.2], ["all of it", None]]))
    | what      |  us |
    |-----------|----:|
    | echo      | 3.2 |
    | all of it |   - |
    """
    cells = [list(header)] + [["-" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    marks = ["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]
    lines = [_line(row, widths) for row in cells]
    return "\n".join([lines[0], f"|{'|'.join(marks)}|", *lines[1:]])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = row
    padded = [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))]
    return f"| {' | '.join(padded)} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"
