"""``python -m services.drift``: read the settings, serve, and exit with a code that says why."""

from __future__ import annotations

import sys

from services.drift.app import serve
from services.drift.config import DriftSettings
from shared.lifecycle import run
from shared.logs import configure_logging
from shared.settings import load_settings


async def main() -> None:
    """Serve with the settings of flags, environment and file."""
    settings = load_settings(DriftSettings, sys.argv[1:])
    configure_logging("drift", level=settings.log_level, style=settings.log_format)
    await serve(settings)


if __name__ == "__main__":
    sys.exit(run(main))
