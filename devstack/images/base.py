"""Stand-ins for the public base images, made from Debian packages, for machines that reach no registry."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

from devstack.images.engine import Engine
from devstack.images.programs import execute

BUILD_TAG = "localhost/driftline-build-base"
RUN_TAG = "localhost/driftline-run-base"

SUITE = "bookworm"
"""Debian 12: Python 3.11, as in the public images that these stand in for."""

_BUILD = ("python3", "python3-venv", "ca-certificates", "binutils")
_RUN = (
    "libc6", "libstdc++6", "libgcc-s1", "libgomp1", "zlib1g", "libssl3", "libffi8", "libbz2-1.0", "liblzma5",
    "libexpat1", "libsqlite3-0", "libuuid1", "libcrypt1", "python3.11-minimal", "libpython3.11-minimal",
    "libpython3.11-stdlib", "base-files", "netbase", "media-types", "tzdata", "ca-certificates",
)  # fmt: skip
"""What a distroless Python image holds: an interpreter and its libraries, no shell, no package manager."""

_UNNEEDED = tuple(f"/usr/share/{name}/*" for name in ("doc", "man", "locale", "info", "lintian"))
_TOOLS = (
    "/bin/tar", "/usr/bin/c_rehash", "/usr/bin/debconf*", "/usr/bin/dpkg*", "/usr/bin/mawk",
    "/usr/bin/openssl", "/usr/bin/update-alternatives", "/usr/sbin/*", "/usr/share/debconf/*",
    "/usr/share/dpkg/*", "/usr/share/perl5/*",
)  # fmt: skip
"""What the packages bring along and a distroless image leaves out."""


def make_bases(engine: Engine, folder: Path) -> None:
    """Make both stand-ins, once."""
    make_base(engine, folder, BUILD_TAG, "minbase", _BUILD, _UNNEEDED)
    make_base(engine, folder, RUN_TAG, "extract", _RUN, _UNNEEDED + _TOOLS)


def make_base(
    engine: Engine,
    folder: Path,
    tag: str,
    variant: str,
    packages: tuple[str, ...],
    excluded: tuple[str, ...] = (),
) -> None:
    """Make an image of Debian packages without some files; what was downloaded is kept in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{variant}-{crc32(' '.join(packages + excluded).encode()):08x}.tar"
    if not archive.is_file():
        half = archive.with_suffix(".part.tar")
        include = f"--include={','.join(packages)}"
        options = [f"--dpkgopt=path-exclude={pattern}" for pattern in excluded]
        execute(["mmdebstrap", f"--variant={variant}", include, *options, SUITE, str(half)])
        half.rename(archive)
    file = folder / f"Dockerfile.{archive.stem}"
    file.write_text(f"FROM scratch\nADD {archive.name} /\n")
    engine.build(tag, file, folder, {})
