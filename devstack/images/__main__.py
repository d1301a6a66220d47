"""``make images``: builds every service's image, weighs it, and runs it where the machine allows."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from devstack.errors import DevstackError
from devstack.images.base import BUILD_TAG, RUN_TAG, make_bases
from devstack.images.engine import Engine, execute, require
from devstack.images.tryout import EVENTS, Tried, place, try_image

ROOT = Path(__file__).parents[2]
MEGABYTE = 1e6


@dataclass(slots=True)
class Outcome:
    """One line of the summary."""

    service: str
    size: int
    compressed: int
    tried: Tried | None = None
    trouble: str | None = None


def services() -> list[str]:
    """Return every service that has a Dockerfile."""
    return sorted(path.parent.name for path in (ROOT / "services").glob("*/Dockerfile"))


def revision() -> str:
    """Return the commit that is built, or ``unknown`` outside a checkout."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def build(engine: Engine, service: str, public: bool) -> Outcome:
    """Build one image and weigh it."""
    bases = {} if public else {"BUILD_BASE": BUILD_TAG, "RUN_BASE": RUN_TAG}
    tag = tag_of(service)
    arguments = bases | {"VERSION": version("driftline"), "REVISION": revision()}
    engine.build(tag, ROOT / "services" / service / "Dockerfile", ROOT, arguments)
    with tempfile.TemporaryDirectory() as folder:
        return Outcome(service, engine.size(tag), engine.compressed(tag, Path(folder)))


def tag_of(service: str) -> str:
    """Return the name of a service's image."""
    return f"localhost/driftline/{service}:{version('driftline')}"


async def run_all(engine: Engine, outcomes: list[Outcome]) -> None:
    """Run every image in turn; what one says of itself does not stop the others."""
    with tempfile.TemporaryDirectory() as folder:
        async with place(Path(folder)) as here:
            execute(["chmod", "-R", "a+rX", folder])  # the container's user is nobody of ours
            for outcome in outcomes:
                try:
                    outcome.tried = await try_image(engine, outcome.service, tag_of(outcome.service), here)
                except DevstackError as error:
                    outcome.trouble = str(error)


def main() -> int:
    """Return 0 when every image was built, started, worked and ended in order."""
    parser = argparse.ArgumentParser(prog="python -m devstack.images", description=__doc__)
    parser.add_argument("services", nargs="*", help="which (default: every one with a Dockerfile)")
    parser.add_argument("--public-base", action="store_true", help="build on the public base images")
    parser.add_argument("--no-run", action="store_true", help="build only")
    parser.add_argument(
        "--storage", type=Path, default=ROOT / "build" / "images", help="where images are kept"
    )
    chosen = parser.parse_args()
    try:
        require("buildah", "podman", *(() if chosen.no_run else ("runc",)))
        engine = Engine(chosen.storage)
        if not chosen.public_base:
            require("mmdebstrap")
            make_bases(engine, chosen.storage / "bases")
        outcomes = [build(engine, service, chosen.public_base) for service in chosen.services or services()]
        if not chosen.no_run:
            asyncio.run(run_all(engine, outcomes))
    except DevstackError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return _report(outcomes, public=chosen.public_base, run=not chosen.no_run)


def _report(outcomes: list[Outcome], *, public: bool, run: bool) -> int:
    base = "the public base images" if public else "a base made here from Debian packages (mmdebstrap)"
    print(f"BUILT with Buildah, chroot isolation, on {base}:")
    for outcome in outcomes:
        sizes = f"{outcome.size / MEGABYTE:.0f} MB, {outcome.compressed / MEGABYTE:.0f} MB compressed"
        print(f"  {outcome.service:12} {sizes}{_tried(outcome)}")
    print(
        "RUN with Podman and runc: read-only, user 65532, no capabilities, against Apache Kafka and Redis"
        if run
        else "NOT RUN: only built"
    )
    failed = [o.service for o in outcomes if run and not _well(o)]
    for outcome in outcomes:
        if outcome.trouble:
            print(f"{outcome.service}: {outcome.trouble}", file=sys.stderr)
    return 1 if failed else 0


def _tried(outcome: Outcome) -> str:
    tried = outcome.tried
    if tried is None:
        return ""
    answered = "" if tried.answered is None else f", {tried.answered} of {EVENTS} events answered"
    ending = f"ended {tried.drained:.1f} s after SIGTERM with exit code {tried.exit_code}"
    return f"; ready in {tried.ready:.1f} s{answered}, {ending}"


def _well(outcome: Outcome) -> bool:
    tried = outcome.tried
    return tried is not None and tried.exit_code == 0 and tried.answered in (None, EVENTS)


if __name__ == "__main__":
    sys.exit(main())
