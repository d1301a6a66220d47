"""The settings of devstack, all from the environment, all with a default."""

from __future__ import annotations

import os
from pathlib import Path

MAVEN_CENTRAL = "https://repo1.maven.org/maven2"


def cache_dir() -> Path:
    """Return where fetched jars are kept: ``DRIFTLINE_CACHE``, else ``~/.cache/driftline``."""
    configured = os.environ.get("DRIFTLINE_CACHE")
    if configured:
        return Path(configured).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "driftline"


def maven_url() -> str:
    """Return the Maven repository to download from: ``DRIFTLINE_MAVEN_URL``, else Maven Central."""
    return os.environ.get("DRIFTLINE_MAVEN_URL", MAVEN_CENTRAL).rstrip("/")
