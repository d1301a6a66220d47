"""Where a demo keeps its logs and bundles, and where it keeps what the next demo can use again."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

RUNS = Path(".devstack") / "demo"
KEEP_RUNS = 4


def new_run_folder(runs: Path = RUNS) -> Path:
    """Return a fresh folder for this run; of earlier runs the newest few are kept."""
    runs.mkdir(parents=True, exist_ok=True)
    earlier = sorted((path for path in runs.iterdir() if path.is_dir()), key=lambda path: path.name)
    for path in earlier[: -(KEEP_RUNS - 1)]:
        shutil.rmtree(path, ignore_errors=True)  # another demo may be at it too
    folder = runs / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    folder.mkdir()
    return folder.resolve()
