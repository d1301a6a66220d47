"""``python -m devstack.compose``: docker-compose.yml by Docker Compose itself, up to a webhook, and down."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from devstack.compose.checking import check
from devstack.compose.composing import Compose
from devstack.compose.podman import docker_socket
from devstack.compose.stand_ins import STAND_INS, make_stand_ins
from devstack.errors import DevstackError
from devstack.images.base import make_bases
from devstack.images.building import STORAGE, build, images, revision, tag_of
from devstack.images.engine import Engine
from devstack.images.programs import require

_PROGRAMS = ("buildah", "podman", "runc", "mmdebstrap", "aardvark-dns", "iptables", "docker-compose")


def main() -> int:
    """Return 0 when everything came up, did its work, told of an alert and ended in order."""
    parser = argparse.ArgumentParser(prog="python -m devstack.compose", description=__doc__)
    parser.add_argument("--storage", type=Path, default=STORAGE, help="where images are kept")
    parser.add_argument("--if-possible", action="store_true", help="no failure where a program is missing")
    parser.add_argument("--no-build", action="store_true", help="run the images that are there already")
    chosen = parser.parse_args()
    try:
        require(*_PROGRAMS)
    except DevstackError as error:
        print(f"NOT RUN: Docker Compose itself: {error}")
        return 0 if chosen.if_possible else 1
    try:
        engine = Engine(chosen.storage)
        _make_images(engine, as_they_are=chosen.no_build)
        with tempfile.TemporaryDirectory() as folder, docker_socket(engine, Path(folder)) as address:
            compose = Compose(engine, address)
            versions = compose.version()
            asyncio.run(check(compose))
    except DevstackError as error:
        print(f"NOT RUN to the end: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("NOT RUN to the end: stopped; all containers are removed", file=sys.stderr)
        return 130
    print(f"RUN: docker-compose.yml by {versions} on Podman's Docker socket, Driftline's own images,")
    print("  profiles core, monitoring and demo; the health checks by this program, each at its interval")
    print(f"RUN with stand-ins of Debian's packages, Kafka of its own jars: {', '.join(STAND_INS)}")
    print("NOT RUN: grafana, mlflow, the public images, a Docker engine")
    return 0


def _make_images(engine: Engine, *, as_they_are: bool) -> None:
    make_bases(engine, engine.storage / "bases")
    make_stand_ins(engine, engine.storage / "bases")
    commit = revision()
    for image in images():
        tag = tag_of(image)
        if not as_they_are and (engine.revision(tag) != commit or commit.endswith("-changed")):
            print(f"building {image}", flush=True)
            build(engine, image, public=False)
        engine.name(tag, tag.replace("localhost/", "docker.io/", 1))


if __name__ == "__main__":
    sys.exit(main())
