"""Where a part keeps its data: the folder the caller names, or a scratch one that goes away with it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path


class DataFolder:
    """A data folder.

    Parameters
    ----------
    name
        Names the scratch folder (``driftline-<name>-…`` in the temporary folder).
    given
        The caller's folder, made where it is missing and never removed; None for a scratch one.
    """

    def __init__(self, name: str, given: Path | str | None) -> None:
        self.kept = given is not None
        if given is None:
            self.path = Path(tempfile.mkdtemp(prefix=f"driftline-{name}-"))
        else:
            self.path = Path(given).resolve()
            self.path.mkdir(parents=True, exist_ok=True)

    @property
    def scratch(self) -> Path | None:
        """The folder to remove at the end, or None where it is the caller's."""
        return None if self.kept else self.path

    def remove(self) -> None:
        """Remove a scratch folder; keep the caller's."""
        if not self.kept:
            shutil.rmtree(self.path, ignore_errors=True)
