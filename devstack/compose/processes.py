"""What docker-compose.yml says, as processes of this machine: the same commands, environment and files.

Addresses and paths that exist only between containers are put in their place; nothing else is changed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from devstack.compose.reading import Service, bind_mounts, command, image_environment, named_volumes
from devstack.part import Part


@dataclass(slots=True)
class Translation:
    """Where the containers' addresses and paths are on this machine.

    Attributes
    ----------
    addresses
        Ours by theirs (``kafka:19092``).
    root
        The repository.
    folder
        Where volumes lie, and translated copies of configuration files.
    """

    addresses: Mapping[str, str]
    root: Path
    folder: Path
    _volumes: dict[str, Path] = field(default_factory=dict)

    def text(self, text: str) -> str:
        """Return a text with every address that is known put in its place."""
        for theirs, ours in self.addresses.items():
            text = text.replace(theirs, ours)
        return text

    def volume(self, name: str) -> Path:
        """Return the folder that stands for a named volume."""
        folder = self.folder / "volumes" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def file(self, source: str) -> Path:
        """Return a translated copy of a configuration file of the repository."""
        original = self.root / source
        copy = self.folder / "files" / source
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(self.text(original.read_text(encoding="utf-8")), encoding="utf-8")
        return copy

    def value(self, service: Service, text: str) -> str:
        """Return a setting with its addresses and paths put in their places."""
        text = self.text(text)
        for inside, name in named_volumes(service).items():
            text = text.replace(inside, str(self.volume(name)))
        for inside, source in bind_mounts(service).items():
            if inside in text:
                text = text.replace(inside, str(self.file(source)))
        return text


def process(name: str, service: Service, port: int, translation: Translation) -> Part:
    """Return one of Driftline's own services as a process that is not started yet."""
    settings = image_environment(service, translation.root) | {
        key: str(value) for key, value in service.get("environment", {}).items()
    }
    environment = {
        key: translation.value(service, value)
        for key, value in settings.items()
        if key.startswith("DRIFTLINE_")
    }
    environment |= {
        "DRIFTLINE_HTTP_HOST": "127.0.0.1",
        "DRIFTLINE_HTTP_PORT": str(port),
        "DRIFTLINE_CACHE_DIR": str(translation.folder / "cache" / name),
    }
    _, *arguments = command(service, translation.root)  # the image's interpreter: ours takes its place
    return Part(name, [sys.executable, *arguments], translation.folder / "logs", environment=environment)


def scraped(prometheus: Path, ports: Mapping[str, int]) -> dict[str, list[str]]:
    """Return the targets that a Prometheus configuration names, by job, at their ports of this machine.

    Parameters
    ----------
    prometheus
        The configuration file.
    ports
        Ours by where the containers listen (``inference:8080``).

    Raises
    ------
    KeyError
        It names a target at which nobody listens.
    """
    jobs: list[dict[str, Any]] = yaml.safe_load(prometheus.read_text(encoding="utf-8"))["scrape_configs"]
    return {
        job["job_name"]: [
            f"127.0.0.1:{ports[name + ':' + str(found['port'])]}"
            for found in job["dns_sd_configs"]
            for name in found["names"]
        ]
        for job in jobs
    }
