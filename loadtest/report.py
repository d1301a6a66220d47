"""The record of one run of a scenario: what was asked, on what machine, and what came out."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtest.machine import describe
from loadtest.plots import Plot, draw

FOLDER = Path("build/loadtest")


@dataclass(slots=True)
class Report:
    """What one scenario prints and writes.

    Attributes
    ----------
    scenario, options
        What was asked.
    figures
        What was measured, as JSON.
    text
        The same for people: tables in Markdown.
    plots
        The same to look at.
    failures
        One sentence per measurement that did not come about; a report with any ends with exit code 1.
    skipped
        One sentence per contender that cannot run here.
    """

    scenario: str
    options: Mapping[str, Any]
    figures: dict[str, Any] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)
    plots: list[Plot] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    machine: dict[str, object] = field(default_factory=describe)
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    def print(self) -> None:
        """Print the tables, what was left out and what failed."""
        print(f"\n## {self.scenario}, {self.started:%Y-%m-%d %H:%M} UTC\n")
        print("\n\n".join(self.text))
        for label, sentences in (("skipped", self.skipped), ("FAILED", self.failures)):
            for sentence in sentences:
                print(f"{label}: {sentence}")

    def write(self, path: Path | None) -> Path:
        """Write everything as JSON, by default in ``build/loadtest/``, and plots into a folder beside it."""
        target = path or FOLDER / f"{self.scenario}-{self.started:%Y%m%dT%H%M%S}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(self.as_json(), indent=2) + "\n", encoding="utf-8")
        for plot in self.plots:
            draw(plot, target.with_suffix("") / f"{plot.name}.svg")
        return target

    def as_json(self) -> dict[str, Any]:
        """Return the whole record."""
        return {
            "scenario": self.scenario,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self.started).total_seconds(), 1),
            "command": " ".join(["python -m loadtest", *sys.argv[1:]]),
            "machine": self.machine,
            "options": dict(self.options),
            "figures": self.figures,
            "skipped": self.skipped,
            "failures": self.failures,
        }
