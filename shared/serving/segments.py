"""The segments of events, as text: the values of the features that ``model.toml`` declares for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

import numpy as np

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
    if len(positions) == 1:
        (position,), (name,) = positions, names
        return lambda columns, count: [
            {} if text is None else {name: text} for text in segment_column(columns[position])
        ]
    return lambda columns, count: [
        {name: text for name, text in zip(names, texts, strict=True) if text is not None}
        for texts in zip(*(segment_column(columns[position]) for position in positions), strict=True)
    ]


def segment_column(column: Column) -> list[str | None]:
    """Return a feature's values as text; each distinct one is made once."""
    values = column.tolist() if isinstance(column, np.ndarray) else column
    texts = {value: segment_text(value) for value in set(values)}
    return [texts[value] for value in values]
