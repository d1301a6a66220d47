"""Categories that training did not contain: the most frequent of them, however many there are."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from river.sketch import HeavyHitters

EPSILON: Final = 0.02
"""Every category with more than this share of a channel's unseen values is kept."""


class NewCategoriesState(msgspec.Struct, frozen=True, array_like=True):
    """The sketch as it is kept between processes."""

    seen: int
    threshold: float
    entries: list[tuple[str, float, float]]


class NewCategories:
    """River's sketch of heavy hitters (lossy counting [1]_) over one channel's unseen values.

    Memory stays bounded at a hundred thousand categories too: the rare ones are let go, and a count may be
    too low by up to 2 % of the values, never too high.

    References
    ----------
    .. [1] Manku, G. S. and Motwani, R. (2002). Approximate frequency counts over data streams. Proceedings of
       the 28th International Conference on Very Large Data Bases, 346-357.

    Examples
    --------
    >>> found = NewCategories()
    >>> for i in range(10_000):
    ...     found.add("SWF" if i % 4 == 0 else f"typo {i}")
    >>> found.most_common(1), len(found.snapshot().entries) < 200
    ([('SWF', 2500)], True)
    >>> again = NewCategories.restored(found.snapshot())
    >>> again.add("SWF")
    >>> again.most_common(1)
    [('SWF', 2501)]
    """

    def __init__(self) -> None:
        self._sketch: Any = HeavyHitters(support=EPSILON, epsilon=EPSILON, fading_factor=1.0)

    def add(self, name: str) -> None:
        """Count one value."""
        self._sketch.update(name)

    def most_common(self, most: int) -> list[tuple[str, int]]:
        """Return the most frequent categories and how often each came, at least."""
        entries = self._sketch._entries
        ranked = sorted(((name, int(count)) for name, (count, _) in entries.items()), key=_rank)
        return ranked[:most]

    def snapshot(self) -> NewCategoriesState:
        """Return the state, equal for equal histories."""
        sketch = self._sketch
        entries = [(name, float(count), float(delta)) for name, (count, delta) in sketch._entries.items()]
        return NewCategoriesState(sketch._n, float(sketch._delta), entries)

    @classmethod
    def restored(cls, state: NewCategoriesState) -> NewCategories:
        """Return what a state describes."""
        made = cls()
        made._sketch._n, made._sketch._delta = state.seen, state.threshold
        made._sketch._entries = {name: (count, delta) for name, count, delta in state.entries}
        return made


def _rank(entry: tuple[str, int]) -> tuple[int, str]:
    name, count = entry
    return -count, name
