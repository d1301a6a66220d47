"""A bundle as a tar archive on standard input: where no folder is shared with whoever made it."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, Self

from shared.bundle.read import limit_of
from shared.errors import BundleError

_MOST_FILES: Final = 64
_MOST_HEADER_BYTES: Final = 64 << 10
_IN_MEMORY: Final = frozenset(
    (
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    )
)
"""Members whose content is a header of the next one: tarfile reads it whole, whatever size it claims."""


class _Member(tarfile.TarInfo):
    """A member of an archive that nobody has looked into yet."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return the member that a header announces, unless it would fill the memory."""
        made = super().frombuf(buf, encoding, errors)
        if made.type in _IN_MEMORY and made.size > _MOST_HEADER_BYTES:
            raise BundleError(
                f"the archive has a header of {made.size} bytes, the limit is {_MOST_HEADER_BYTES}"
            )
        return made


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
        It is no tar archive or ends early, holds links or devices, two files of the same name, too many
        files, or one that is larger than a bundle's may be: a small archive can hold more than a disk.
    """
    with tempfile.TemporaryDirectory(prefix="driftline-bundle-") as folder:
        try:
            with tarfile.open(fileobj=stream, mode="r|*", tarinfo=_Member) as archive:
                for number, member in enumerate(archive):
                    if number >= _MOST_FILES:
                        raise BundleError(f"the archive has more than {_MOST_FILES} members")
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
    if member.size > (limit := limit_of(path.name)):
        raise BundleError(f"{member.name!r} in the archive is {member.size} bytes, the limit is {limit}")
    if path.exists():
        raise BundleError(f"the archive has two files called {path.name!r}: one bundle at a time")
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)
