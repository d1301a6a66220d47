"""Rows on disk: LMDB, in blocks of about a page, found by number and by the moment they are due.

A block holds consecutive rows that are due at one moment, under the number of the last of them, so that the
block of any row is the first at or after its number. A page at a time costs a thirtieth of a row at a
time, and what is due together is deleted together.

Writes are not flushed to the disk: a killed process loses none of them, and after a crash of the machine
(another boot id) everything is made anew.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from struct import Struct, pack
from typing import IO, Any, Final, cast

import lmdb
import msgspec

from shared.errors import ServiceError

_FORMAT: Final = 2
_MAP_BYTES: Final = 1 << 38
_META: Final = b"meta"
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_READS_PER_MAP: Final = 512
"""A page fault maps the pages around it too, 64 KiB: so many reads are 32 MiB."""
_BLOCK_BYTES: Final = 4_000
"""A page of LMDB holds so much: a block never needs two pages beside each other."""

_COUNT: Final = Struct("<I")
_ENDS: Final = Struct("<II")

Due = tuple[int, Sequence[bytes]]
"""A moment, and rows that are due then."""


class _Meta(msgspec.Struct, array_like=True):
    """What the files say of themselves."""

    format: int
    boot: str
    lineage: str
    offset: int
    next_row: int
    rows: int


_encode_meta = msgspec.msgpack.Encoder().encode
_decode_meta = msgspec.msgpack.Decoder(_Meta).decode


class Disk:
    """Rows by number.

    Parameters
    ----------
    folder
        A directory of the partition's own. Where another process has it, one beside it is taken.
    lineage
        Which log this is a cache of; files of another one are made anew.

    Raises
    ------
    ServiceError
        The disk takes nothing more, or gives nothing back.

    Attributes
    ----------
    offset
        Log offset up to which the rows are complete, -1 for new files.
    next_row
        Number of the next row to be written.
    expected
        Living rows when they were last written.
    """

    def __init__(self, folder: Path, lineage: str) -> None:
        self._folder, self._lock = _claim(folder)
        self._lineage = lineage
        self._boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
        try:
            meta = self._made_or_found()
        except ServiceError:
            self._lock.close()
            raise
        self._reads = 0
        self.offset = meta.offset if meta is not None else -1
        self.next_row = meta.next_row if meta is not None else 0
        self.expected = meta.rows if meta is not None else 0

    def _made_or_found(self) -> _Meta | None:
        """Open the files, new ones where those that are there are of no use."""
        meta = self._open()
        if meta is not None and not self._usable(meta):
            self._env.close()
            shutil.rmtree(self._folder / "rows", ignore_errors=True)
            meta = self._open()
        return meta

    def _open(self) -> _Meta | None:
        with self._naming_it():
            return self._opened()

    @contextmanager
    def _naming_it(self) -> Iterator[None]:
        """Name the disk and what to do about it where LMDB fails: what is lost here, the log has."""
        try:
            yield
        except lmdb.Error as error:
            raise ServiceError(
                f"join_dir: the store of open events in {self._folder} cannot be used: {error}; make room on "
                "that disk, or give join_dir another one, and start again: what is missing comes from the log"
            ) from error

    def _opened(self) -> _Meta | None:
        (self._folder / "rows").mkdir(parents=True, exist_ok=True)
        self._env = lmdb.open(
            str(self._folder / "rows"),
            map_size=_MAP_BYTES,
            max_dbs=3,
            sync=False,
            metasync=False,
            readahead=False,
            meminit=False,
            lock=False,
        )
        self._rows = self._env.open_db(b"rows")
        self._calendar = self._env.open_db(b"calendar")
        self._about = self._env.open_db(b"about")
        with self._env.begin(db=self._about) as txn:
            raw = txn.get(_META)
        try:
            return None if raw is None else _decode_meta(raw)
        except msgspec.ValidationError:  # of a former format
            return _Meta(0, "", "", -1, 0, 0)

    def _usable(self, meta: _Meta) -> bool:
        return (meta.format, meta.boot, meta.lineage) == (_FORMAT, self._boot, self._lineage)

    def blocks(self) -> Iterator[tuple[int, list[bytes]]]:
        """Yield the number of the first row, and the rows, of every block in the order they were written."""
        with self._env.begin(buffers=True) as txn:
            for key, block in txn.cursor(self._rows):
                yield _unpacked(key, block)

    def dues(self) -> set[int]:
        """Return every moment for which there are rows."""
        with self._env.begin() as txn:
            return {int.from_bytes(key[:8], "big") for key, _ in txn.cursor(self._calendar)}

    def read(self, numbers: Sequence[int]) -> list[bytes]:
        """Return rows by their numbers, which ascend."""
        self._reads += len(numbers)
        found: list[bytes] = []
        block = b""
        first = last = -1
        with self._env.begin(db=self._rows, buffers=True) as txn, txn.cursor() as cursor:
            for number in numbers:
                if number > last:
                    cursor.set_range(number.to_bytes(8, "big"))
                    block = cast(bytes, cursor.value())  # a view of the page
                    last = int.from_bytes(cursor.key(), "big")
                    first = last - _COUNT.unpack_from(block)[0] + 1
                begin, end = _ENDS.unpack_from(block, 4 + 4 * (number - first))
                found.append(bytes(block[begin:end]))
        self._let_pages_go()
        return found

    def due_at(self, due: int) -> Iterator[tuple[int, list[bytes]]]:
        """Yield the number of the first row, and the rows, of every block that is due then."""
        with self._env.begin(db=self._rows, buffers=True) as txn:
            for key in self._keys(txn, due):
                block = cast(bytes, txn.get(key))
                self._reads += _COUNT.unpack_from(block)[0]
                yield _unpacked(key, block)

    def write(self, rows: Iterable[Due], done: Iterable[int], offset: int, expected: int) -> None:
        """Delete what is done with, and append rows.

        Parameters
        ----------
        done
            Moments at which everything due has been dealt with.
        offset, expected
            Log offset up to which the rows are complete then, and how many of them live.

        Raises
        ------
        ServiceError
            The disk takes nothing more. The files are what they were.
        """
        with self._naming_it(), self._env.begin(write=True) as txn:
            for due in done:
                for key in self._keys(txn, due):
                    txn.delete(key, db=self._rows)
                    txn.delete(due.to_bytes(8, "big") + key, db=self._calendar)
            with txn.cursor(self._rows) as cursor:
                for due, its in rows:
                    prefix = due.to_bytes(8, "big")
                    for block in _cut(its):
                        self.next_row += len(block)
                        key = (self.next_row - 1).to_bytes(8, "big")
                        cursor.put(key, _packed(block), append=True)
                        txn.put(prefix + key, b"", db=self._calendar)
            meta = _Meta(_FORMAT, self._boot, self._lineage, offset, self.next_row, expected)
            txn.put(_META, _encode_meta(meta), db=self._about)
        self.offset, self.expected = offset, expected
        self._reads = _READS_PER_MAP  # a page must be read before it is written
        self._let_pages_go()

    def lowest(self) -> int:
        """Return a number that no row is below."""
        with self._env.begin(db=self._rows, buffers=True) as txn, txn.cursor() as cursor:
            if not cursor.first():
                return self.next_row
            return int.from_bytes(cursor.key(), "big") - int(_COUNT.unpack_from(cursor.value())[0]) + 1

    def _keys(self, txn: Any, due: int) -> list[bytes]:
        """Return the keys of the blocks of a due moment."""
        prefix, keys = due.to_bytes(8, "big"), []
        with txn.cursor(self._calendar) as cursor:
            if cursor.set_range(prefix):
                for key in cursor.iternext(values=False):
                    if key[:8] != prefix:
                        break
                    keys.append(bytes(key[8:]))
        return keys

    def _let_pages_go(self) -> None:
        """Map the file afresh now and then: pages once read would count as ours for ever."""
        if self._reads >= _READS_PER_MAP:
            self._reads = 0
            self._env.set_mapsize(_MAP_BYTES)

    def close(self) -> None:
        """Let go of the files."""
        self._env.close()
        self._lock.close()


def _cut(rows: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield rows in blocks of a page; a row larger than that makes a block of its own."""
    first = size = 0
    for at, row in enumerate(rows):
        size += len(row) + 4
        if size > _BLOCK_BYTES and at > first:
            yield rows[first:at]
            first, size = at, len(row) + 4
    if len(rows) > first:
        yield rows[first:]


def _packed(rows: Sequence[bytes]) -> bytes:
    """Return a block: how many rows, where each begins and the last ends, and the rows."""
    at = 4 * len(rows) + 8
    ends = [at, *(at := at + len(row) for row in rows)]
    return pack(f"<{len(rows) + 2}I", len(rows), *ends) + b"".join(rows)


def _unpacked(key: Any, block: Any) -> tuple[int, list[bytes]]:
    """Return the number of a block's first row, and its rows."""
    (count,) = _COUNT.unpack_from(block)
    ends = Struct(f"<{count + 1}I").unpack_from(block, 4)
    raw = bytes(block)
    rows = [raw[begin:end] for begin, end in pairwise(ends)]
    return int.from_bytes(key, "big") - count + 1, rows


def _claim(folder: Path) -> tuple[Path, IO[str]]:
    """Return a directory that no other process uses, and the lock that says so."""
    for number in range(1_000):
        mine = folder if number == 0 else folder.with_name(f"{folder.name}.{number}")
        mine.mkdir(parents=True, exist_ok=True)
        lock = (mine / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        return mine, lock
    raise OSError(f"a thousand processes use {folder}")
