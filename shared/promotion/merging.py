"""Adding up the parts of reports: counts and sums by addition, whatever window or partition they are of."""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeVar

import msgspec

from shared.messages import Histogram, Ranking

T = TypeVar("T")
_Cells = tuple[tuple[int, int, int], ...]


def added(one: T, other: T) -> T:
    """Return two parts of reports added up, field by field; what one of them lacks comes from the other.

    Raises
    ------
    ValueError
        Histograms with different edges cannot be added.

    Examples
    --------
    >>> from shared.messages import Comparison
    >>> both = added(Comparison(both=2, flips={"no": {"yes": 1}}), Comparison(both=3, agreed=1))
    >>> both.both, both.agreed, both.flips
    (5, 1, {'no': {'yes': 1}})
    """
    result: Any = _added(one, other)
    return result  # type: ignore[no-any-return]


def _added(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    if isinstance(one, Histogram):
        _same_edges(one.edges, other.edges)
        return Histogram(edges=one.edges, counts=_elementwise(one.counts, other.counts))
    if isinstance(one, Ranking):
        return _added_rankings(one, other)
    if isinstance(one, msgspec.Struct):
        return type(one)(**{f: _added(getattr(one, f), getattr(other, f)) for f in one.__struct_fields__})
    if isinstance(one, dict):
        return {key: _added(one.get(key), other.get(key)) for key in one | other}
    if isinstance(one, tuple):  # counts over the edges of another field's histogram
        return _elementwise(one, other)
    return one + other


def _added_rankings(one: Ranking, other: Ranking) -> Ranking:
    if not one.edges or not other.edges:
        return one if one.edges else other
    _same_edges(one.edges + one.joint_edges, other.edges + other.joint_edges)
    counts = ("champion_positive", "champion_negative", "candidate_positive", "candidate_negative")
    return Ranking(
        edges=one.edges,
        joint_edges=one.joint_edges,
        joint_positive=_cells(one.joint_positive, other.joint_positive),
        joint_negative=_cells(one.joint_negative, other.joint_negative),
        **{name: _elementwise(getattr(one, name), getattr(other, name)) for name in counts},
    )


def _cells(one: _Cells, other: _Cells) -> _Cells:
    found: Counter[tuple[int, int]] = Counter()
    for row, column, count in (*one, *other):
        found[row, column] += count
    return tuple((row, column, count) for (row, column), count in sorted(found.items()))


def _elementwise(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    if not one or not other:
        return one or other
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _same_edges(one: tuple[float, ...], other: tuple[float, ...]) -> None:
    if one != other:
        raise ValueError(f"histograms with {len(one)} and {len(other)} edges, or other ones, cannot be added")
