"""``SHA256SUMS``: what a bundle consists of, in the format of the ``sha256sum`` command.

A name in the file is a plain file name: no directory, no ``..``, nothing absolute, so that a
bundle from a stranger cannot make a reader open a file outside of the bundle.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from shared.errors import BundleError

SUMS_NAME = "SHA256SUMS"
MAX_SUMS_BYTES = 64 << 10

_LINE = re.compile(r"^([0-9a-f]{64}) [ *](.+)$")
_PLAIN_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$")


def parse_sums(raw: bytes) -> dict[str, str]:
    """Return the hexadecimal SHA-256 by file name in the bytes of a ``SHA256SUMS``.

    Raises
    ------
    BundleError
        A line is malformed, a name leaves the bundle's directory, or a name is listed twice.

    Examples
    --------
    >>> parse_sums(b"ab" * 32 + b"  model.onnx")["model.onnx"][:6]
    'ababab'
    >>> parse_sums(b"ab" * 32 + b"  ../model.onnx")
    Traceback (most recent call last):
    shared.errors.BundleError: SHA256SUMS line 1: '../model.onnx' is no plain file name
    """
    try:
        lines = raw.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise BundleError(f"{SUMS_NAME} is not ASCII text: {error}") from error
    sums: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise BundleError(f"{SUMS_NAME} line {number} is not 'digest  name': {line[:100]!r}")
        digest, name = match.groups()
        if not _PLAIN_NAME.fullmatch(name) or name == SUMS_NAME:
            raise BundleError(f"{SUMS_NAME} line {number}: {name[:200]!r} is no plain file name")
        if name in sums:
            raise BundleError(f"{SUMS_NAME} line {number} lists {name!r} a second time")
        sums[name] = digest
    return sums


def format_sums(sums: Mapping[str, str]) -> bytes:
    """Return the bytes of a ``SHA256SUMS``, sorted by name so that equal contents give equal bytes.

    Examples
    --------
    >>> format_sums({"b": "1" * 64, "a": "0" * 64}).decode().split()[1::2]
    ['a', 'b']
    """
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())).encode()


def file_digest(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check_directory(directory: Path, sums: Mapping[str, str], limits: Mapping[str, int], other: int) -> None:
    """Check that ``directory`` holds exactly the listed files, and that each has the listed digest.

    Parameters
    ----------
    directory
        The bundle.
    sums
        Expected digest by file name.
    limits
        Largest size in bytes by file name; ``other`` is the limit for names not in it.

    Raises
    ------
    BundleError
        A file is missing, unlisted, a link, not a regular file, too large or damaged.
    """
    present = {entry.name for entry in directory.iterdir()} - {SUMS_NAME}
    for name in sorted(present - sums.keys()):
        raise BundleError(f"{directory / name} is not listed in {SUMS_NAME}")
    for name in sorted(sums.keys() - present):
        raise BundleError(f"{directory / name} is listed in {SUMS_NAME} and missing")
    for name in sums:
        check_regular(directory / name, limits.get(name, other))
    for name, expected in sums.items():
        found = file_digest(directory / name)
        if found != expected:
            raise BundleError(
                f"{directory / name} is damaged or was changed: its SHA-256 is {found[:12]}..., "
                f"{SUMS_NAME} says {expected[:12]}..."
            )


def check_regular(path: Path, limit: int) -> None:
    """Check that ``path`` is a regular file of at most ``limit`` bytes, itself and not by a link.

    Raises
    ------
    BundleError
        It is missing, a symbolic link, a directory or device, or larger.
    """
    try:
        status = path.lstat()
    except FileNotFoundError as error:
        raise BundleError(f"{path} is missing") from error
    if stat.S_ISLNK(status.st_mode):
        raise BundleError(f"{path} is a symbolic link; a bundle holds its files itself")
    if not stat.S_ISREG(status.st_mode):
        raise BundleError(f"{path} is not a regular file")
    if status.st_size > limit:
        raise BundleError(f"{path} is {status.st_size} bytes, the limit is {limit}")
