"""The event log of a run: one JSON line per thing that happened, kept where something went wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


class Journal:
    """Writes ``events.jsonl`` as things happen.

    Parameters
    ----------
    folder
        Made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._started = time.monotonic()
        self._file = (folder / "events.jsonl").open("w", buffering=1)

    def note(self, what: str, **details: Any) -> None:
        """Append a line: seconds since the beginning, what happened, and its details."""
        line = {"at": round(time.monotonic() - self._started, 3), "what": what, **details}
        self._file.write(json.dumps(line, default=str) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()
