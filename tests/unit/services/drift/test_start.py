"""What the service must have done before its first event."""

from __future__ import annotations

import subprocess
import sys


def test_river_is_loaded_before_the_first_event_needs_it() -> None:
    """It takes seconds, in which nothing else is done: no heartbeat, no answer to a probe."""
    code = "import sys, services.drift.app; sys.exit('river.drift' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
