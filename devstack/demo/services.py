"""Driftline's services as processes of the demo: one entry per service, each with its own log."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devstack.demo.contract import MODEL
from devstack.demo.options import Options
from devstack.demo.stack import Servers
from devstack.part import Part
from devstack.ports import Ports

START_TIMEOUT = 45.0
STOP_TIMEOUT = 15.0
DEVSTACK_SETTINGS = ("DRIFTLINE_CACHE", "DRIFTLINE_MAVEN_URL")


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A service of the demo.

    Attributes
    ----------
    name
        What a person calls it.
    module
        What Python runs.
    settings
        The settings that only this service has, from the options.
    """

    name: str
    module: str
    settings: Callable[[Options], dict[str, str]] = lambda options: {}


SERVICES = (
    Blueprint(
        "inference",
        "services.inference",
        lambda options: {
            "DRIFTLINE_MODELS": MODEL,
            "DRIFTLINE_DELIVERY": options.delivery,
            "DRIFTLINE_SESSION_SECONDS": "10",  # Tansu forms a group after half of it
        },
    ),
    Blueprint(
        "drift",
        "services.drift",
        lambda options: {
            "DRIFTLINE_MODELS": MODEL,
            "DRIFTLINE_DELIVERY": options.delivery,
            "DRIFTLINE_SESSION_SECONDS": "10",
            "DRIFTLINE_REPORT_SECONDS": "1",
            "DRIFTLINE_IDLE_SECONDS": "2",
        },
    ),
    Blueprint(
        "performance",
        "services.performance",
        lambda options: {
            "DRIFTLINE_DELIVERY": options.delivery,
            "DRIFTLINE_SESSION_SECONDS": "10",
            "DRIFTLINE_REPORT_SECONDS": "1",
            "DRIFTLINE_IDLE_SECONDS": "3",
            "DRIFTLINE_GRACE_SECONDS": "3",  # a day and a half of flights, for a machine that is busy
        },
    ),
    Blueprint(
        "shadow",
        "services.shadow",
        lambda options: {
            "DRIFTLINE_MODELS": MODEL,
            "DRIFTLINE_DELIVERY": options.delivery,
            "DRIFTLINE_SESSION_SECONDS": "10",
            "DRIFTLINE_REPORT_SECONDS": "2",
        },
    ),
    Blueprint("alerting", "services.alerting", lambda options: {"DRIFTLINE_SESSION_SECONDS": "6"}),
)
"""Every service of the demo, in the order of the data."""


class Service:
    """A running service: its process and its HTTP address."""

    def __init__(self, blueprint: Blueprint, part: Part, port: int) -> None:
        self.name = blueprint.name
        self.part = part
        self.url = f"http://127.0.0.1:{port}"

    def stop(self) -> bool:
        """Stop it; return whether it drained and ended by itself when asked to."""
        if not self.part.running or self.part.pid is None:
            return True
        os.kill(self.part.pid, signal.SIGTERM)
        drained = self.part.join(STOP_TIMEOUT)
        self.part.kill()
        return drained


def shared_settings(servers: Servers, store: Path) -> dict[str, str]:
    """Return the settings that every service of the demo gets."""
    return {
        "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
        "DRIFTLINE_REDIS_URL": servers.redis_url,
        "DRIFTLINE_BUNDLE_STORE": str(store),
        "DRIFTLINE_HTTP_HOST": "127.0.0.1",
    }


def forget_settings() -> None:
    """Drop the caller's own Driftline settings, so that the demo is the same for everybody.

    A prefix meant for another cluster would otherwise send the services to topics nobody made.
    """
    for name in [
        name for name in os.environ if name.startswith("DRIFTLINE_") and name not in DEVSTACK_SETTINGS
    ]:
        del os.environ[name]


def launch_services(
    options: Options,
    settings: dict[str, str],
    own: dict[str, dict[str, str]],
    logs: Path,
    ports: Ports,
    services: list[Service],
) -> None:
    """Launch every service without waiting until it serves, each added to ``services`` at once.

    The caller stops what is in the list, also when a later one could not be launched.

    Parameters
    ----------
    settings
        What every service gets.
    own
        What a service gets beside that, by its name: what is known only once the demo runs.
    """
    for blueprint in SERVICES:
        port = ports.reserve()
        part = Part(
            blueprint.name,
            [sys.executable, "-m", blueprint.module],
            logs,
            environment=settings
            | blueprint.settings(options)
            | own.get(blueprint.name, {})
            | {"DRIFTLINE_HTTP_PORT": str(port)},
        )
        services.append(Service(blueprint, part, port))
        part.launch()
