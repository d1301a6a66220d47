"""Stand-ins for the public base images, made from Debian packages, for machines that reach no registry."""

from __future__ import annotations

from pathlib import Path

from devstack.images.engine import Engine, execute

BUILD_TAG = "localhost/driftline-build-base"
RUN_TAG = "localhost/driftline-run-base"

SUITE = "bookworm"
"""Debian 12: Python 3.11, as in the public images that these stand in for."""

_BUILD = ("python3", "python3-venv", "ca-certificates")
_RUN = (
    "libc6", "libstdc++6", "libgcc-s1", "libgomp1", "zlib1g", "libssl3", "libffi8", "libbz2-1.0", "liblzma5",
    "libexpat1", "libsqlite3-0", "libuuid1", "libcrypt1", "python3.11-minimal", "libpython3.11-minimal",
    "libpython3.11-stdlib", "base-files", "netbase", "media-types", "tzdata", "ca-certificates",
)  # fmt: skip
"""What a distroless Python image holds: an interpreter and its libraries, no shell, no package manager."""

_UNNEEDED = ("doc", "man", "locale", "info", "lintian")


def make_bases(engine: Engine, folder: Path) -> None:
    """Make both stand-ins, once."""
    folder.mkdir(parents=True, exist_ok=True)
    _make(engine, folder, BUILD_TAG, "minbase", _BUILD)
    _make(engine, folder, RUN_TAG, "extract", _RUN)


def _make(engine: Engine, folder: Path, tag: str, variant: str, packages: tuple[str, ...]) -> None:
    archive = folder / f"{variant}.tar"
    if not archive.is_file():
        half = archive.with_suffix(".part.tar")
        execute(
            [
                "mmdebstrap",
                f"--variant={variant}",
                f"--include={','.join(packages)}",
                *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _UNNEEDED),
                SUITE,
                str(half),
            ]
        )
        half.rename(archive)
    file = folder / f"Dockerfile.{variant}"
    file.write_text(f"FROM scratch\nADD {archive.name} /\n")
    engine.build(tag, file, folder, {})
