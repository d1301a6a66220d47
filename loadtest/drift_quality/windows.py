"""Tools that judge windows, each in its own environment: Evidently, NannyML, whylogs at their defaults."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loadtest.drift_quality.streams import Floats, Piece
from loadtest.errors import LoadTestError
from loadtest.peers.environments import HERE, install, python_of
from loadtest.report import Report

WINDOW = 1_000
REFERENCE_ROWS = 10_000
SECONDS = 3_600.0


@dataclass(frozen=True, slots=True)
class WindowTool:
    """A tool, the peer environment it lives in, and the script that runs it there."""

    name: str
    peer: str
    script: str

    def flagged(self, reference: Floats, windows: Floats) -> list[list[int]]:
        """Return the columns that each window is said to have drifted in.

        Parameters
        ----------
        reference
            Training rows, shape ``(rows, columns)``.
        windows
            Shape ``(windows, rows, columns)``.

        Raises
        ------
        LoadTestError
            The tool cannot be installed here, or fails.
        """
        install(self.peer)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "windows.npz"
            np.savez(path, reference=reference, windows=windows)
            command = [str(python_of(self.peer)), str(HERE / self.script), str(path)]
            silent = os.environ | {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1", "HOME": folder}
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=SECONDS, check=False, env=silent
                )
            except subprocess.TimeoutExpired as error:
                raise LoadTestError(f"{self.name} took more than {SECONDS:g} s") from error
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no word of why"])[-1]
            raise LoadTestError(f"{self.name} failed: {last}")
        answer: list[list[int]] = _last_json(done.stdout)
        if len(answer) != len(windows):
            raise LoadTestError(f"{self.name} answered for {len(answer)} of {len(windows)} windows")
        return answer


def _last_json(text: str) -> Any:
    """Return what the last line says: tools print greetings before it."""
    return json.loads(text.strip().splitlines()[-1])


WINDOW_TOOLS = (
    WindowTool("Evidently", "evidently", "evidently_windows.py"),
    WindowTool("NannyML", "nannyml", "nannyml_chunks.py"),
    WindowTool("whylogs", "whylogs", "whylogs_profiles.py"),
)


def reference_rows(training: Piece) -> Floats:
    """Return rows drawn from all of the training data, as the tools' advice is: not one season of it."""
    rows = np.linspace(0, len(training.times) - 1, REFERENCE_ROWS).astype(int)
    return np.ascontiguousarray(training.values[:, rows].T)


def skip(report: Report, sentence: str) -> None:
    """Note once that something was left out."""
    if sentence not in report.skipped:
        report.skipped.append(sentence)
