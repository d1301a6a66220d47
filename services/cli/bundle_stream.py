"""A bundle as a tar archive on standard input: where no folder is shared with whoever made it."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from shared.errors import BundleError


@contextmanager
def unpacked(stream: BinaryIO) -> Iterator[Path]:
    """Give the bundle in a tar archive as a directory, which is gone afterwards.

    A bundle's files have plain names, so folders in the archive's names are left out: nothing in it can lead
    out of the directory. What the files hold, and that all are there, is checked by whoever reads the bundle.

    Parameters
    ----------
    stream
        The archive, compressed or not, read once from its beginning to its end.

    Raises
    ------
    BundleError
        It is no tar archive or ends early, holds links or devices, or two files of the same name.
    """
    with tempfile.TemporaryDirectory(prefix="driftline-bundle-") as folder:
        try:
            with tarfile.open(fileobj=stream, mode="r|*") as archive:
                for member in archive:
                    _unpack(archive, member, Path(folder))
        except tarfile.TarError as error:
            raise BundleError(f"standard input is no whole tar archive: {error}") from error
        yield Path(folder)


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    if member.isdir():
        return
    path = folder / PurePosixPath(member.name).name
    content = archive.extractfile(member) if member.isreg() else None
    if content is None:
        raise BundleError(f"{member.name!r} in the archive is no file")
    if path.exists():
        raise BundleError(f"the archive has two files called {path.name!r}: one bundle at a time")
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)
