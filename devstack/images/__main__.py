"""``make images``: builds every service's image, weighs it, and runs it where the machine allows."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from devstack.errors import DevstackError
from devstack.images.base import make_bases
from devstack.images.building import STORAGE, build, images, tag_of
from devstack.images.engine import Engine
from devstack.images.outcome import MEGABYTE, READY_SECONDS, Outcome
from devstack.images.place import Place, place
from devstack.images.programs import execute, require
from devstack.images.tryout import look_inside, try_command_line, try_feed, try_service


def weigh(engine: Engine, image: str) -> Outcome:
    """Return how large an image is, unpacked and as a registry holds it."""
    tag = tag_of(image)
    with tempfile.TemporaryDirectory() as folder:
        return Outcome(image, engine.size(tag), engine.compressed(tag, Path(folder)))


async def run_all(engine: Engine, outcomes: list[Outcome]) -> None:
    """Run every image in turn; what one says of itself does not stop the others."""
    with tempfile.TemporaryDirectory() as folder:
        async with place(Path(folder)) as here:
            execute(["chmod", "-R", "a+rX", folder])  # the container's user is nobody of ours
            for outcome in outcomes:
                try:
                    await _run(engine, outcome, here)
                except DevstackError as error:
                    outcome.trouble = str(error)


async def _run(engine: Engine, outcome: Outcome, here: Place) -> None:
    image, tag = outcome.image, tag_of(outcome.image)
    package = "devstack.demo.feed" if image == "demo" else f"services.{image}"
    outcome.tried.append(await look_inside(engine, tag, package, here))
    if image == "demo":
        outcome.tried.append(await try_feed(engine, tag, here))
    elif image == "cli":
        outcome.tried.append(await try_command_line(engine, tag, here))
    else:
        outcome.tried.append(await try_service(engine, image, tag, here))


def main() -> int:
    """Return 0 when every image was built within its limits, started in time, worked and ended in order."""
    parser = argparse.ArgumentParser(prog="python -m devstack.images", description=__doc__)
    parser.add_argument("images", nargs="*", help=f"which (default: all): {', '.join(images())}")
    parser.add_argument("--public-base", action="store_true", help="build on the public base images")
    parser.add_argument("--no-run", action="store_true", help="build only")
    parser.add_argument("--no-build", action="store_true", help="run the images that are there already")
    parser.add_argument(
        "--ready-within",
        type=float,
        default=READY_SECONDS,
        metavar="SECONDS",
        help="for services (default: 3)",
    )
    parser.add_argument("--storage", type=Path, default=STORAGE, help="where images are kept")
    chosen = parser.parse_args()
    if unknown := sorted(set(chosen.images) - set(images())):
        parser.error(f"there is no image {', '.join(unknown)}")
    try:
        require("buildah", "podman", "runc")
        engine = Engine(chosen.storage)
        if not chosen.no_build:
            _build(engine, chosen.images or images(), public=chosen.public_base)
        outcomes = [weigh(engine, image) for image in chosen.images or images()]
        if not chosen.no_run:
            asyncio.run(run_all(engine, outcomes))
    except DevstackError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    base = "the public base images" if chosen.public_base else "a base made here of Debian packages"
    when = " earlier" if chosen.no_build else ""
    print(f"BUILT{when} with Buildah, chroot isolation, on {base}:")
    _report(outcomes, public=chosen.public_base, run=not chosen.no_run)
    faults = [f"{o.image}: {fault}" for o in outcomes for fault in o.faults(chosen.ready_within)]
    if not chosen.no_run:
        faults += [f"{o.image} was not run, or not well" for o in outcomes if not o.well]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _build(engine: Engine, chosen: Iterable[str], *, public: bool) -> None:
    if not public:
        require("mmdebstrap")
        make_bases(engine, engine.storage / "bases")
    for image in chosen:
        build(engine, image, public=public)


def _report(outcomes: list[Outcome], *, public: bool, run: bool) -> None:
    for outcome in outcomes:
        sizes = f"{outcome.size / MEGABYTE:.0f} MB, {outcome.compressed / MEGABYTE:.0f} MB compressed"
        print("; ".join([f"  {outcome.image:12} {sizes}", *(tried.sentence for tried in outcome.tried)]))
    print(
        "RUN with Podman and runc: read-only, user 65532, no capabilities, against Apache Kafka and Redis"
        if run
        else "NOT RUN: only built"
    )
    if not public:
        print("NOT BUILT on the public base images: python:3.11-slim-bookworm and distroless Python")


if __name__ == "__main__":
    sys.exit(main())
