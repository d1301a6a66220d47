"""Spans of time as people write them: ``30s``, ``5m``, ``2h``, ``1d``."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

PATTERN: Final = r"^\d+(ms|s|m|h|d)$"
Duration = Annotated[str, msgspec.Meta(pattern=PATTERN, description="such as 30s, 5m, 2h, 1d")]

_UNITS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def milliseconds(text: str) -> int:
    """Return a duration in milliseconds.

    Examples
    --------
    >>> milliseconds("5m"), milliseconds("250ms")
    (300000, 250)
    """
    found = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text)
    if found is None:
        raise ValueError(f"{text!r} is no duration such as 30s, 5m, 2h or 1d")
    return int(found[1]) * _UNITS[found[2]]


def spoken(span: float) -> str:
    """Return milliseconds as a person says them.

    Examples
    --------
    >>> spoken(95_000), spoken(4 * 3_600_000), spoken(1_500)
    ('95 s', '4 h', '1.5 s')
    """
    for unit, name in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min")):
        if span >= 2 * unit:
            return f"{span / unit:.3g} {name}"
    return f"{span / 1000:.3g} s"
