"""The overlays of ``k8s/`` as kubectl renders them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from devstack.k8s.rendering import overlays, render

Object = dict[str, Any]


@pytest.fixture(scope="session")
def rendered() -> dict[str, list[Object]]:
    """The objects of each overlay; not to be changed."""
    return {overlay.name: render(overlay) for overlay in overlays(Path(__file__).parents[2])}
