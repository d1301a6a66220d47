"""A virtual environment per peer, laid from a lock file with hashes, kept in Driftline's cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from devstack.settings import cache_dir
from loadtest.errors import LoadTestError

HERE = Path(__file__).parent
INSTALL_SECONDS = 900.0
PEERS = ("bytewax", "quixstreams", "faust", "faststream", "mlserver", "evidently", "nannyml", "whylogs")


def lock_file(peer: str) -> Path:
    """Return the peer's pinned requirements."""
    return HERE / f"{peer}.txt"


def environment(peer: str) -> Path:
    """Return where the environment belongs: named by lock file and Python, so it never goes stale."""
    digest = hashlib.sha256(lock_file(peer).read_bytes()).hexdigest()[:12]
    tag = f"{sys.version_info.major}.{sys.version_info.minor}"
    return cache_dir() / "loadtest" / f"{peer}-{digest}-py{tag}"


def python_of(peer: str) -> Path:
    """Return the peer's interpreter."""
    return environment(peer) / "bin" / "python"


def installed(peer: str) -> bool:
    """Return whether the environment was laid to its end."""
    return (environment(peer) / "complete").exists()


def install(peer: str) -> None:
    """Lay the peer's environment, unless it is there.

    Raises
    ------
    LoadTestError
        The packages cannot be had for this Python or from this network; with what pip said.
    """
    if installed(peer):
        return
    target = environment(peer)
    shutil.rmtree(target, ignore_errors=True)  # one that broke off half-way
    target.parent.mkdir(parents=True, exist_ok=True)
    _run(peer, sys.executable, "-m", "venv", str(target))
    _run(
        peer, str(python_of(peer)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--only-binary", ":all:", "--require-hashes", "--requirement", str(lock_file(peer)),
    )  # fmt: skip
    (target / "complete").touch()


def _run(peer: str, *command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise LoadTestError(f"{peer} was not installed within {INSTALL_SECONDS:g} s") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [
            done.stderr[-300:]
        ]
        raise LoadTestError(f"{peer} cannot be installed on Python {sys.version.split()[0]}: {lines[0]}")
