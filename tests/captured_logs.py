"""What a service logs, read by a test, and logging as it was afterwards."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shared import refusals
from shared.logs import RateLimit, configure_logging


@contextmanager
def captured_logs(service: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Give the lines of a service; refusals are told from the first on, whatever other tests refused."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.setattr(refusals, "_limit", RateLimit(10, clock=lambda: 0.0))
    stream = io.StringIO()
    configure_logging(service, stream=stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
