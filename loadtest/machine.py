"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from devstack.jars import kafka_version
from loadtest.peers.environments import lock_file

PEERS = {
    "bytewax": "bytewax",
    "quixstreams": "quixstreams",
    "faststream": "faststream",
    "faust": "faust-streaming",
    "mlserver": "mlserver",
}
"""Lock file and package of each peer."""

PACKAGES = ("aiokafka", "msgspec", "numpy", "onnxruntime", "uvloop")


def describe() -> dict[str, object]:
    """Return cores, processor, memory, system, Python, all versions, the commit and the load."""
    return {
        "cores": os.cpu_count(),
        "processor": _first_value(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "memory": _first_value(Path("/proc/meminfo"), "MemTotal"),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in PACKAGES},
        "peers": {name: pinned(lock_file(name).read_text(), package) for name, package in PEERS.items()},
        "kafka": kafka_version(),
        "commit": _commit(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


def pinned(lock: str, package: str) -> str:
    """Return the version of a package in a lock file.

    Examples
    --------
    >>> pinned("# aiokafka\\nbytewax==0.21.1 ; extra", "bytewax"), pinned("", "bytewax")
    ('0.21.1', 'not pinned')
    """
    found = re.search(rf"^{re.escape(package)}==([^\s;\\]+)", lock, re.MULTILINE)
    return found[1] if found else "not pinned"


def _commit() -> str:
    """Return the commit that is measured, and whether something differs from it."""
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def _first_value(path: Path, key: str) -> str:
    if not path.exists():
        return ""
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == key), "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
