"""Programs of Debian packages: found on the ``PATH``, or installed without starting their daemons."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from devstack.errors import DevstackError

PACKAGES: Final = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "rsyslogd": "rsyslog",
}
"""The Debian package of each program that devstack starts or calls."""

POLICY: Final = Path("/usr/sbin/policy-rc.d")
"""What Debian's maintainer scripts ask before they start a daemon."""

_TIMEOUT: Final = 300.0


def find_program(name: str) -> str:
    """Return the path of a program in :data:`PACKAGES`.

    Raises
    ------
    DevstackError
        It is not on the ``PATH``; the message names the package.
    """
    found = _which(name)
    if found is None:
        package = PACKAGES[name]
        raise DevstackError(
            f"{name} is not here: it comes with the Debian package {package} "
            f"(apt install {package}; as root, `make monitoring` installs what is missing)"
        )
    return found


def install_programs() -> list[str]:
    """Return the paths of all programs; install the packages of those that are missing.

    Nothing is started: devstack runs its own processes, with its own folders and ports.

    Raises
    ------
    DevstackError
        There is no apt-get, we are not root, or apt failed.
    """
    missing = sorted({package for name, package in PACKAGES.items() if _which(name) is None})
    if missing:
        if shutil.which("apt-get") is None or os.getuid() != 0:
            raise DevstackError(f"to install {' and '.join(missing)} takes apt-get and root")
        with _no_daemon_starts():
            _install(missing)
    return [find_program(name) for name in PACKAGES]


def _which(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")  # not on everybody's PATH


@contextmanager
def _no_daemon_starts() -> Iterator[None]:
    """Forbid that the packages start their daemons; an administrator's own policy is left alone."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def _install(packages: list[str]) -> None:
    command = ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", *packages]
    try:
        _run(command)
    except DevstackError:  # a new machine has no index of packages yet
        _run(["apt-get", "-qq", "update"])
        _run(command)


def _run(command: list[str]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DevstackError(f"{' '.join(command)} took longer than {_TIMEOUT:g} s") from error
    if done.returncode:
        raise DevstackError(f"{' '.join(command)} failed: {done.stderr.strip() or done.stdout.strip()}")
