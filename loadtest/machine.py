"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("aiokafka", "msgspec", "numpy", "onnxruntime", "uvloop")


def describe() -> dict[str, object]:
    """Return cores, processor, memory, system, Python, library versions and the load of the moment."""
    return {
        "cores": os.cpu_count(),
        "processor": _first_value(Path("/proc/cpuinfo"), "model name") or platform.processor(),
        "memory": _first_value(Path("/proc/meminfo"), "MemTotal"),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in PACKAGES},
        "load_average": [round(value, 2) for value in os.getloadavg()],
    }


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
