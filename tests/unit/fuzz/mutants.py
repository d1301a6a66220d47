"""Messages that are almost right: one place of a good one holds whatever JSON can say."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

EXTREMES = [
    0, -1, 2**31, 2**63, -(2**63) - 1, 2**64, 10**40, 253_402_300_799_999, 1e308, -1e308, 5e-324, 0.1,
    True, None, "", "x" * 300, "yes", "\x00", "\u202e", "2024-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00", [], {}, [[]], {"": {}},
]  # fmt: skip
DEEP = b'{"deep":' * 5_000 + b"1" + b"}" * 5_000

anything = st.sampled_from(EXTREMES) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document, the innermost ones too."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, inner in inside for place in places(inner, (*path, key))]


@st.composite
def mutants(draw: st.DrawFn, good: dict[str, Any]) -> bytes:
    """The good message with one place changed, taken away or nested without end; or any bytes at all."""
    made = copy.deepcopy(good)
    *path, last = draw(st.sampled_from(places(made)))
    inside = made
    for key in path:
        inside = inside[key]
    how = draw(st.integers(0, 9))
    if how == 0:
        return draw(st.binary(max_size=60))
    if how == 1:
        inside.pop(last)
    elif how == 2:
        key = draw(st.sampled_from((last, "unknown")))
        inside[key if isinstance(inside, dict) else last] = "\N{FIRE}deep"
        return json.dumps(made).encode().replace(json.dumps("\N{FIRE}deep").encode(), DEEP)
    elif how == 3:
        raw = bytearray(json.dumps(made).encode())
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
        return bytes(raw)
    else:
        inside[last] = draw(anything)
    return json.dumps(made).encode("utf-8", "surrogatepass")
