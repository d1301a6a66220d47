"""Independent pieces of a long measurement: done in parallel, kept as they are done, not done twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtest.drift_quality.options import DriftQualityOptions
from loadtest.errors import LoadTestError

Cell = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function of a module and its arguments; what it returns can be written as JSON."""


class Cells:
    """What was measured so far, one file per cell.

    Parameters
    ----------
    options
        What is measured; answers to other options are another measurement's.
    folder
        Where answers are kept; None keeps none.
    jobs
        Processes at a time.

    Attributes
    ----------
    skipped
        Why a cell has no answer, by name.
    """

    def __init__(self, options: DriftQualityOptions, folder: Path | None = None, jobs: int = 1) -> None:
        digest = hashlib.sha256(json.dumps(asdict(options), sort_keys=True).encode()).hexdigest()[:12]
        self._folder = None if folder is None else folder / digest
        self._jobs = jobs
        self.skipped: dict[str, str] = {}

    def measure(self, cells: Mapping[str, Cell]) -> dict[str, Any]:
        """Return the answer of every cell that has one, by name; those kept are not measured again."""
        found = {name: answer for name in cells if (answer := self._kept(name)) is not None}
        if found:
            print(f"{len(found)} of {len(cells)} were measured before", flush=True)
        with ProcessPoolExecutor(self._jobs) as pool:
            waiting = {
                pool.submit(run, *args): name for name, (run, args) in cells.items() if name not in found
            }
            for future in as_completed(waiting):
                name = waiting[future]
                try:
                    found[name] = self._keep(name, future.result())
                except LoadTestError as error:
                    self.skipped[name] = str(error)
                    print(f"{name}: skipped, {error}", flush=True)
                else:
                    print(f"{name}: measured", flush=True)
        return {name: found[name] for name in cells if name in found}

    def _path(self, name: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{name.replace('/', '-')}.json"

    def _kept(self, name: str) -> Any:
        path = self._path(name)
        return json.loads(path.read_text()) if path is not None and path.exists() else None

    def _keep(self, name: str, answer: Any) -> Any:
        text = json.dumps(answer)
        path = self._path(name)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_text(text)
            part.replace(path)
        return json.loads(text)
