"""``python -m devstack.dashboards``: ``--write`` makes the JSON files, ``--check`` compares them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from devstack.dashboards.infrastructure import INFRASTRUCTURE
from devstack.dashboards.models import MODELS
from devstack.dashboards.overview import OVERVIEW
from devstack.dashboards.shadow import SHADOW

DASHBOARDS: Final = (OVERVIEW, MODELS, SHADOW, INFRASTRUCTURE)
FOLDER: Final = Path(__file__).parents[2] / "monitoring" / "grafana" / "dashboards"


def files() -> dict[Path, str]:
    """Return the text of every file."""
    return {
        FOLDER / f"{dashboard.uid}.json": json.dumps(dashboard.as_json(), indent=1) + "\n"
        for dashboard in DASHBOARDS
    }


def stale() -> list[str]:
    """Return the names of the files that are not what the code says."""
    return [path.name for path, text in files().items() if not path.exists() or path.read_text() != text]


def main() -> int:
    """Write or check; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m devstack.dashboards", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the files")
    action.add_argument("--check", action="store_true", help="fail where a file is not current")
    if parser.parse_args().write:
        for path, text in files().items():
            path.write_text(text)
        return 0
    for name in (found := stale()):
        print(f"{name} is not current: python -m devstack.dashboards --write", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
