"""The example in docs/drift-detection.md runs, and its table of floors is right."""

import re
from pathlib import Path

import numpy as np
import pytest

from shared.drift.fitting import fit_channel

TEXT = (Path(__file__).parents[4] / "docs" / "drift-detection.md").read_text()


def test_the_example_runs(capsys):
    rng = np.random.default_rng(71)
    names = {
        "columns": {"delay": rng.normal(size=20_000), "origin": rng.choice(["EWR", "JFK"], 20_000)},
        "times": np.arange(20_000.0),
        "batch": {"delay": rng.normal(2, 1, size=64), "origin": rng.choice(["EWR", "JFK"], 64)},
        "batch_times": np.arange(20_000.0, 20_064.0),
    }
    exec(re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1], names)
    assert names["A"] == 129_600_000
    assert capsys.readouterr().out.startswith("delay location mean +2.2 sd ")


@pytest.mark.parametrize(("rows", "floor"), [(1_000, "0.51"), (10_000, "0.16"), (100_000, "0.05")])
def test_the_floors_are_those_of_the_code(rows, floor):
    header, _, row = re.search(r"(\| effective rows.*)\n(.*)\n(\| floor.*)", TEXT).groups()
    cells = dict(zip(header.split("|")[2:-1], row.split("|")[2:-1], strict=True))
    assert cells[f" {rows:,} "].strip() == floor
    shift = fit_channel(
        "x", "numeric", np.random.default_rng(1).permutation(rows).astype(float)
    ).smallest_shift
    assert shift == pytest.approx(float(floor), abs=0.005)
