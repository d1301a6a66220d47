"""Closes what a test has opened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.services.performance.harness import OPEN


@pytest.fixture(autouse=True)
def _close_stores() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().join.store.close()
