"""The segments of events, as text: the values of the features that ``model.toml`` declares for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from shared.bundle.spec import ModelSpec
from shared.scoring.matrix import Column


def segment_text(value: Any) -> str | None:
    """Return a feature's value as a segment is named by it, ``None`` for a missing one.

    Examples
    --------
    >>> [segment_text(value) for value in ("UA", True, 7.0, 0.25, None)]
    ['UA', 'true', '7', '0.25', None]
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.12g}"


def segments_of(spec: ModelSpec) -> Callable[[Sequence[Column], int], Iterable[dict[str, str] | None]]:
    """Return what takes decoded columns and their length, and gives each event's segments.

    Examples
    --------
    >>> from shared.bundle.spec import FeatureSpec, OutputSpec
    >>> spec = ModelSpec(name="m", version="1", task="regression", output=OutputSpec(score="y"),
    ...                  features=(FeatureSpec(name="x"), FeatureSpec(name="wet", nullable=True)),
    ...                  segments=("wet",))
    >>> list(segments_of(spec)([[1.0, 2.0], [3.0, None]], 2))
    [{'wet': '3'}, {}]
    """
    positions = [index for index, feature in enumerate(spec.features) if feature.name in spec.segments]
    names = [spec.features[index].name for index in positions]
    if not positions:
        return lambda columns, count: repeat(None, count)
    return lambda columns, count: combined(names, [coded(columns[position]) for position in positions])


class Coded(NamedTuple):
    """A column of texts: each different one once, and which of them every event has.

    Attributes
    ----------
    texts
        By code; two codes may have the same text.
    codes
        Shape ``(n,)``.
    """

    texts: list[str | None]
    codes: npt.NDArray[np.int32]


def coded(column: Column) -> Coded:
    """Return a feature's values as text; each distinct one is made once.

    Examples
    --------
    >>> texts, codes = coded(["UA", None, "UA"])
    >>> texts, codes.tolist()
    (['UA', None], [0, 1, 0])
    """
    values = column.tolist() if isinstance(column, np.ndarray) else column
    order, codes = _numbered(values)
    return Coded([segment_text(value) for value in order], codes)


def combined(names: Sequence[str], columns: Sequence[Coded]) -> list[dict[str, str]]:
    """Return each event's segments; events with the same values share one mapping.

    Parameters
    ----------
    names
        Of the features, at least one.
    columns
        Their texts, in the same order.

    Examples
    --------
    >>> combined(["c", "d"], [coded(["a", "b", "a"]), coded([None, "e", None])])
    [{'c': 'a'}, {'c': 'b', 'd': 'e'}, {'c': 'a'}]
    """
    codes = columns[0].codes
    mappings = [_named(names[0], text) for text in columns[0].texts]
    for name, column in zip(names[1:], columns[1:], strict=True):
        width = len(column.texts)
        order, pairs = _numbered((codes.astype(np.int64) * width + column.codes).tolist())
        mappings = [mappings[key // width] | _named(name, column.texts[key % width]) for key in order]
        codes = pairs
    return list(map(mappings.__getitem__, codes.tolist()))


def _named(name: str, text: str | None) -> dict[str, str]:
    return {} if text is None else {name: text}


def _numbered(values: Sequence[Any]) -> tuple[Sequence[Any], npt.NDArray[np.int32]]:
    """Return the different values in the order in which they first come, and which of them each one is."""
    order = dict.fromkeys(values)
    numbers = {value: number for number, value in enumerate(order)}
    return list(order), np.fromiter(map(numbers.__getitem__, values), np.int32, len(values))
