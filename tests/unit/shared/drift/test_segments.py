"""Where a change is: named where few categories explain it, and not where it is everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from shared.drift import fit_baseline
from shared.drift.segments import MOST_CELLS, Segment, locate
from shared.drift.stream.coding import GroupCoder

KINDS: dict[str, Any] = {"miles": "numeric", "origin": "categorical", "carrier": "categorical"}
OF = {"EWR": ["UA", "UA", "B6"], "JFK": ["B6", "DL", "AA"], "LGA": ["DL", "AA", "US"]}
"""One of the carriers flies from the airport of the fault alone."""
Rows = dict[str, Any]


def flights(seed: int, count: int) -> Rows:
    rng = np.random.default_rng(seed)
    origin = rng.choice(list(OF), count)
    carrier = [OF[name][rng.integers(3)] for name in origin]
    return {"miles": rng.gamma(4.0, 250.0, count), "origin": origin.tolist(), "carrier": carrier}


def at(rows: Rows, feature: str, names: Sequence[str], factor: float) -> Rows:
    struck = np.isin(rows[feature], names)
    return rows | {"miles": rows["miles"] * np.where(struck, factor, 1.0)}


BASELINE = fit_baseline(flights(1, 30_000), KINDS, segments=["origin", "carrier", "miles"])


def located(rows: Rows, channel: str = "miles") -> Segment | None:
    coder = GroupCoder(BASELINE)
    known = {c.name: (row, c) for row, c in enumerate(coder.channels)}
    codes = coder.code([rows[name] for name in KINDS], np.zeros(len(rows["miles"]), np.int64)).codes
    return locate(channel, known, BASELINE.segments, codes)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda rows: at(rows, "origin", ["LGA"], 1.609), ("origin", ("LGA",))),
        (lambda rows: at(rows, "origin", ["JFK", "LGA"], 1.609), ("origin", ("JFK", "LGA"))),
        (lambda rows: at(rows, "carrier", ["B6"], 1.609), ("carrier", ("B6",))),
        (lambda rows: at(rows, "origin", list(OF), 1.609), None),
        (lambda rows: rows, None),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_the_place_is_named_if_it_is_one(
    change: Callable[[Rows], Rows], expected: tuple[str, tuple[str, ...]] | None, seed: int
) -> None:
    found = located(change(flights(100 + seed, 600)))
    named = None if found is None else (found.feature, tuple(sorted(found.categories)))
    assert named == expected
    assert found is None or (found.explained > 0.8 and found.events < 0.75)


def test_a_numeric_feature_is_no_place_and_a_channel_is_not_its_own() -> None:
    assert [table.feature for table in BASELINE.segments] == ["origin", "carrier"]
    assert "origin" not in BASELINE.segments[0].counts
    assert "origin" in BASELINE.segments[1].counts
    one = {"miles": flights(3, 600)["miles"], "origin": ["LGA"] * 600, "carrier": ["US"] * 600}
    assert located(one, "origin") is None, "all events are of one category: that says nothing"


def test_tables_are_bounded() -> None:
    rng = np.random.default_rng(4)
    many: Rows = {f"c{i}": rng.integers(0, 60, 3_000).astype(str).tolist() for i in range(60)}
    kinds: dict[str, Any] = dict.fromkeys(many, "categorical")
    tables = fit_baseline(many, kinds, segments=list(many)).segments
    counts = [np.array(rows).size for table in tables for rows in table.counts.values()]
    assert 1 <= len(tables) < 4
    assert sum(counts) <= MOST_CELLS
