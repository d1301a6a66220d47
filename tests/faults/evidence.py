"""What the logs of a process say: a fault that did not hit what it names proves nothing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from devstack.part import Part
from shared.pipeline.crash_points import HELD, KILLED, LET_GO


def lines(log: Path) -> Iterator[dict[str, Any]]:
    """Yield what a process has logged so far, line by line; traces between them are left out."""
    if not log.exists():
        return
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("{"):
            with contextlib.suppress(json.JSONDecodeError):  # one that is being written just now
                yield json.loads(line)


def said(part: Part, event: str, **fields: Any) -> int:
    """Return how often a process has logged an event with these fields.

    Examples
    --------
    >>> import tempfile
    >>> part = Part("inference-1", [], Path(tempfile.mkdtemp()))
    >>> _ = part.log.write_text('{"event": "model swapped in", "model_version": "2"}\\n')
    >>> said(part, "model swapped in", model_version="2"), said(part, "model swapped in", model_version="3")
    (1, 0)
    """
    return sum(
        line.get("event") == event and all(line.get(name) == value for name, value in fields.items())
        for line in lines(part.log)
    )


def is_held(part: Part, point: str) -> bool:
    """Whether a process is inside a crash point now; it must stand still for the answer to last."""
    return said(part, HELD, point=point) > said(part, LET_GO, point=point)


def was_killed_at(part: Part, point: str) -> bool:
    """Whether a process that has ended did so at a crash point."""
    return said(part, KILLED, point=point) > 0
