"""The hash index against a dict, through growth, deletion and row numbers beyond 32 bits."""

from __future__ import annotations

import numpy as np
import pytest

from services.performance.index import HashIndex, hashes_of


@pytest.mark.parametrize("base", [0, (1 << 32) - 3_000])
def test_it_says_what_a_dict_says(base: int) -> None:
    rng = np.random.default_rng(1)
    index, known, row = HashIndex(), dict[str, int](), base
    for turn in range(60):
        names = [f"e{number}" for number in np.unique(rng.integers(0, 8_000, 400)).tolist()]
        rows = np.arange(row, row + len(names))
        index.put(hashes_of(names), rows)
        known |= dict(zip(names, rows.tolist(), strict=True))
        row += len(names)
        gone = list(rng.choice(list(known), 150, replace=False).tolist())
        index.drop(hashes_of([*gone, "never-there"]))
        for name in gone:
            del known[name]
        if turn % 7 == 0:
            index.rebase(min(known.values()))
        asked = [f"e{number}" for number in range(8_000)]
        assert index.rows(hashes_of(asked)).tolist() == [known.get(name, -1) for name in asked]
        assert len(index) == len(known)
