"""What can go wrong with a measurement."""

from __future__ import annotations


class LoadTestError(Exception):
    """A contender could not be measured; the message says why."""
