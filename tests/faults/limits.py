"""Sizes and limits of a run, which the rules are judged by."""

from __future__ import annotations

from typing import Final

PARTITIONS: Final = 3
SESSION: Final = 6.0
TRANSACTION: Final = 30.0
RESUMES_WITHIN: Final = SESSION + TRANSACTION + 15.0
"""The rules' limit: after a fault every partition moves again within so many seconds."""

STOPS_WITHIN: Final = 30.0
"""Seconds that a process may take from SIGTERM to its end."""

EVENTS_PER_DAY: Final = 40_000.0
