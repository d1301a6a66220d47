"""What was measured is kept and not measured twice; what cannot be measured is named."""

from __future__ import annotations

from pathlib import Path

from loadtest.drift_quality.cells import Cell, Cells
from loadtest.drift_quality.options import QUICK, DriftQualityOptions
from loadtest.errors import LoadTestError


def doubled(number: int, folder: Path) -> list[int]:
    if number < 0:
        raise LoadTestError("negative")
    with (folder / "runs").open("a") as runs:
        runs.write(f"{number}\n")
    return [number, 2 * number]


def runs(folder: Path) -> list[str]:
    return sorted((folder / "runs").read_text().split())


def test_cells_are_measured_once_for_the_same_options(tmp_path: Path) -> None:
    cells: dict[str, Cell] = {f"cell, {n}": (doubled, (n, tmp_path)) for n in (1, 2, -3)}
    first = Cells(QUICK, tmp_path / "kept", jobs=2)
    assert first.measure(cells) == {"cell, 1": [1, 2], "cell, 2": [2, 4]}
    assert first.skipped == {"cell, -3": "negative"}
    more: dict[str, Cell] = cells | {"cell, 4": (doubled, (4, tmp_path))}
    again = Cells(QUICK, tmp_path / "kept").measure(more)
    assert again == {"cell, 1": [1, 2], "cell, 2": [2, 4], "cell, 4": [4, 8]}
    assert runs(tmp_path) == ["1", "2", "4"]
    Cells(DriftQualityOptions(), tmp_path / "kept").measure({"cell, 1": cells["cell, 1"]})
    assert runs(tmp_path) == ["1", "1", "2", "4"], "other options are another measurement"
