"""What running containers use of the machine, as Podman counts it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from devstack.images.engine import Engine
from devstack.images.programs import execute

_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}
_PREFIXES: Final = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9}


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time since the start, seconds, and memory now, bytes."""

    cpu: float
    memory: float


def usage(engine: Engine) -> dict[str, Usage]:
    """Return what each running container uses, by its name."""
    found = json.loads(execute(["podman", *engine.options, "stats", "--no-stream", "--format=json"]))
    return {
        container["name"]: Usage(
            seconds(container["cpu_time"]), size(container["mem_usage"].partition(" / ")[0])
        )
        for container in found
    }


def seconds(duration: str) -> float:
    """Return the seconds of a duration as Go writes it.

    Examples
    --------
    >>> seconds("1m2.5s"), seconds("250ms")
    (62.5, 0.25)
    """
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([a-zµ]+)", duration))


def size(text: str) -> float:
    """Return the bytes of a size as Podman writes it.

    Examples
    --------
    >>> size("54.69MB")
    54690000.0
    """
    number, unit = re.findall(r"([\d.]+)([a-zA-Z]+)", text)[0]
    return round(float(number) * _PREFIXES[unit], 3)
