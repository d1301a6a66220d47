"""What images there are, what they are called, and how each is built."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

from devstack.images.base import BUILD_TAG, RUN_TAG
from devstack.images.engine import Engine

ROOT = Path(__file__).parents[2]
STORAGE = ROOT / "build" / "images"


def images() -> dict[str, Path]:
    """Return the Dockerfile of every image: one per service, the command line, the demo's feed."""
    services = sorted((ROOT / "services").glob("*/Dockerfile"))
    return {path.parent.name: path for path in services} | {"demo": ROOT / "devstack/demo/Dockerfile"}


def tag_of(image: str) -> str:
    """Return the name of an image."""
    return f"localhost/driftline/{image}:{version('driftline')}"


def revision() -> str:
    """Return the commit that is built, ``-changed`` where files differ from it, ``unknown`` without one."""
    commit, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain")
    return f"{commit}-changed" if commit and changed else commit or "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def build(engine: Engine, image: str, *, public: bool) -> None:
    """Build one image, on the public bases or on the stand-ins that are in the storage already."""
    bases = {} if public else {"BUILD_BASE": BUILD_TAG, "RUN_BASE": RUN_TAG}
    arguments = bases | {"VERSION": version("driftline"), "REVISION": revision()}
    engine.build(tag_of(image), images()[image], ROOT, arguments)
