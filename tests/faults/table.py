"""``python -m tests.faults.table runs.jsonl``: what ``--json`` printed, as a table in Markdown."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

TOPOLOGIES = ("one", "three")


def rows(lines: Iterable[str]) -> Iterator[str]:
    """Yield the table: per fault and topology how often it was tried, broken, and how soon all moved again.

    Examples
    --------
    >>> run = {"fault": "zombie", "topology": "one", "seed": 1, "passed": True, "resumed_after": 7.25}
    >>> print(*rows([json.dumps(run | {"control": ""}), '{"runs": 1}']), sep="\\n")
    | fault | one broker: trials, broken, moving after (median, most) | three brokers |
    |---|---|---|
    | zombie | 1, 0, 7 s, 7 s | |
    """
    runs: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        run = json.loads(line) if line.startswith("{") else {}
        if "fault" in run and not run["control"]:
            runs[run["fault"]][run["topology"]].append(run)
    yield "| fault | one broker: trials, broken, moving after (median, most) | three brokers |"
    yield "|---|---|---|"
    for fault, by_topology in runs.items():
        cells = " | ".join(_cell(by_topology.get(topology, [])) for topology in TOPOLOGIES)
        yield f"| {fault} | {cells}{' ' if cells[-1] != ' ' else ''}|"


def _cell(runs: list[dict[str, Any]]) -> str:
    if not runs:
        return ""
    broken = sum(not run["passed"] for run in runs)
    after = [run["resumed_after"] for run in runs if run["resumed_after"] is not None]
    moved = f", {statistics.median(after):.0f} s, {max(after):.0f} s" if after else ""
    return f"{len(runs)}, {broken}{moved}"


def main() -> int:
    """Print the table of every file named."""
    lines = [line for name in sys.argv[1:] for line in Path(name).read_text().splitlines()]
    print(*rows(lines), sep="\n")
    print(f"\nPython {platform.python_version()}, {os.cpu_count()} cores")
    return 0


if __name__ == "__main__":
    sys.exit(main())
