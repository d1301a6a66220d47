"""Driftline's services as processes of the demo: one entry per service, each with its own log."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from devstack.demo.contract import MODEL
from devstack.demo.options import Options
from devstack.part import Part
from devstack.ports import Ports

START_TIMEOUT = 45.0


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A service of the demo: what a person calls it and what Python runs."""

    name: str
    module: str


SERVICES = (Blueprint("inference", "services.inference"),)
"""Every service of the demo, in the order of the data."""


class Service:
    """A running service: its process and its HTTP address."""

    def __init__(self, blueprint: Blueprint, part: Part, port: int) -> None:
        self.name = blueprint.name
        self.part = part
        self.url = f"http://127.0.0.1:{port}"


def service_environment(
    options: Options, bootstrap_servers: str, redis_url: str, store: Path
) -> dict[str, str]:
    """Return the settings that all services share."""
    return {
        "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "DRIFTLINE_REDIS_URL": redis_url,
        "DRIFTLINE_BUNDLE_STORE": str(store),
        "DRIFTLINE_MODELS": MODEL,
        "DRIFTLINE_DELIVERY": options.delivery,
        "DRIFTLINE_HTTP_HOST": "127.0.0.1",
    }


def launch_services(environment: dict[str, str], logs: Path, ports: Ports, services: list[Service]) -> None:
    """Launch every service without waiting until it serves, each added to ``services`` at once.

    The caller stops what is in the list, also when a later one could not be launched.
    """
    for blueprint in SERVICES:
        port = ports.reserve()
        part = Part(
            blueprint.name,
            [sys.executable, "-m", blueprint.module],
            logs,
            environment=environment | {"DRIFTLINE_HTTP_PORT": str(port)},
        )
        services.append(Service(blueprint, part, port))
        part.launch()
