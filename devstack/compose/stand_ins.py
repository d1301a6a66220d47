"""Images that stand in for the public ones of docker-compose.yml: Debian's packages, and Kafka's own jars."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

from devstack.images.base import make_base
from devstack.images.engine import Engine
from devstack.jars import kafka_jars

_FOLDER: Final = Path(__file__).with_name("stand_ins")
_BASE: Final = "localhost/driftline-stand-in-base"
_PACKAGES: Final = (
    "openjdk-17-jre-headless", "prometheus", "prometheus-alertmanager", "redis-server", "wget",
)  # fmt: skip
STAND_INS: Final = {
    "kafka": "apache/kafka",
    "redis": "redis",
    "prometheus": "prom/prometheus",
    "alertmanager": "prom/alertmanager",
}


def make_stand_ins(engine: Engine, folder: Path) -> None:
    """Make all that are missing."""
    missing = [name for name in STAND_INS if engine.revision(tag_of(name)) is None]
    if missing:
        make_base(engine, folder, _BASE, "minbase", _PACKAGES)
    for name in missing:
        with tempfile.TemporaryDirectory() as context:
            _gather(name, Path(context))
            engine.build(tag_of(name), _FOLDER / name / "Dockerfile", Path(context), {"BASE": _BASE})


def tag_of(name: str) -> str:
    """Return the name of a stand-in, as ``stand-ins.yml`` has it."""
    return f"localhost/driftline-stand-in/{name}:latest"


def _gather(name: str, context: Path) -> None:
    shutil.copytree(_FOLDER / name, context, dirs_exist_ok=True)
    if name == "kafka":
        (context / "libs").mkdir()
        for jar in kafka_jars():
            shutil.copy(jar, context / "libs")
