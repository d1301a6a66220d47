"""``python -m services.performance``: read the settings, serve, and exit with a code that says why."""

from __future__ import annotations

import sys

from services.performance.app import serve
from services.performance.config import PerformanceSettings
from shared.lifecycle import run
from shared.logs import configure_logging
from shared.settings import load_settings


async def main() -> None:
    """Serve with the settings of flags, environment and file."""
    settings = load_settings(PerformanceSettings, sys.argv[1:])
    configure_logging("performance", level=settings.log_level, style=settings.log_format)
    await serve(settings)


if __name__ == "__main__":
    sys.exit(run(main))
