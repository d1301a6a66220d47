"""What docs/logs.md says of log lines: which there are, and what each carries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).parents[3] / "docs/logs.md"
FIELDS = {
    "trace": ("trace_id", "span_id"),
    "model": ("model",),
    "place": ("topic", "partition", "offset"),
}


class Promise(NamedTuple):
    """One kind of line: what it always carries, and what it carries where there is such a thing."""

    event: str
    level: str
    always: tuple[str, ...]
    sometimes: tuple[str, ...]


def promises() -> Iterator[Promise]:
    """Every event of the page's table."""
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]*) \| ([^|]*)\| [^|]* \|$", PAGE.read_text(), re.M)
    for events, level, carried in rows:
        items = [item.strip() for item in carried.split(",") if item.strip()]
        first = ""
        for words in re.findall(r"`([^`]+)`", events):
            event = words.replace("...", first.split(" ", maxsplit=1)[0])
            first = first or event
            always = tuple(name for item in items if item[0] != "(" for name in FIELDS[item])
            sometimes = tuple(name for item in items if item[0] == "(" for name in FIELDS[item.strip("()")])
            yield Promise(event, level, always, sometimes)


def broken(line: dict[str, Any]) -> str | None:
    """Return what a line lacks of what the page promises; None where nothing."""
    for promise in promises():
        if line["event"].startswith(promise.event):
            missing = [name for name in promise.always if line.get(name) is None]
            return f"no {missing} in {line}" if missing else None
    return None
