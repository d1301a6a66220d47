"""Docker Compose, asked to do something with the repository's docker-compose.yml."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from devstack.images.engine import Engine
from devstack.images.programs import execute, find

_ROOT: Final = Path(__file__).parents[2]
_STAND_INS: Final = Path(__file__).with_name("stand-ins.yml")
_PROJECT: Final = "driftline-check"
_PROFILES: Final = "core,monitoring,demo"
_RATE: Final = "200"
"""Flights per second: a small machine has enough to do with everything at once."""


@dataclass(frozen=True, slots=True)
class Compose:
    """``docker-compose`` with the file, the stand-ins and a project of its own.

    Parameters
    ----------
    engine
        Podman, which serves the socket.
    address
        Of the Docker socket.
    """

    engine: Engine
    address: str

    def __call__(self, *arguments: str) -> str:
        """Return what a command prints."""
        environment = {"DOCKER_HOST": self.address, "COMPOSE_PROFILES": _PROFILES, "RATE": _RATE}
        files = [f"--file={_ROOT / 'docker-compose.yml'}", f"--file={_STAND_INS}"]
        place = [f"--project-name={_PROJECT}", f"--project-directory={_ROOT}"]
        command = [find("docker-compose"), *place, *files, *arguments]
        return execute(command, environment=environment)

    def version(self) -> str:
        """Return what it calls itself, with its version."""
        return self("version").splitlines()[0]

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return the state of each container by its service, those that have ended included."""
        lines = self("ps", "--all", "--format=json").splitlines()
        return {found["Service"]: found for found in map(json.loads, lines)}
