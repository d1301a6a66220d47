"""The open events of one partition on disk: more than memory holds, rebuilt from the log where it is lost.

Rows are only ever appended, under a running number, and an index in memory knows the newest row of each
event (:mod:`services.performance.index`). Keyed by event, LMDB would rewrite a page of 4 KiB for nearly
every row, since event ids come in no order: 25 us per pair instead of 5 (docs/decisions).

The store is a cache. It holds what the log said up to ``offset``, in one LMDB transaction with it; what
came later is read from the log again. Writes are not flushed to the disk: a killed process loses none of
them, and after a crash of the machine (another boot id) the store is made anew.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import lmdb
import msgspec
import numpy as np
import numpy.typing as npt

from services.performance.events import OpenEvent, decode_event, encode_event
from services.performance.index import HashIndex, hashes_of

_FORMAT: Final = 1
_MAP_BYTES: Final = 1 << 38
_META: Final = b"meta"
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_READS_PER_MAP: Final = 4_096
_CHUNK: Final = 8_192


class _Meta(msgspec.Struct, array_like=True):
    """What the store says of itself."""

    format: int
    boot: str
    lineage: str
    offset: int
    next_row: int


_encode_meta = msgspec.msgpack.Encoder().encode
_decode_meta = msgspec.msgpack.Decoder(_Meta).decode


class EventStore:
    """Open events by id.

    Parameters
    ----------
    folder
        A directory of the partition's own. Where another process has it, one beside it is taken.
    lineage
        Which log this is a cache of; a store of another one is made anew.

    Attributes
    ----------
    offset
        Log offset up to which the rows are complete, -1 for a new store.
    """

    def __init__(self, folder: Path, lineage: str) -> None:
        self._folder, self._lock = _claim(folder)
        self._lineage = lineage
        self._boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
        self._open()
        if not self._usable():
            self._env.close()
            shutil.rmtree(self._folder / "rows", ignore_errors=True)
            self._open()
        self._reads = 0
        self._load()

    def _open(self) -> None:
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

    def _usable(self) -> bool:
        with self._env.begin(db=self._about) as txn:
            raw = txn.get(_META)
        if raw is None:
            return True
        meta = _decode_meta(raw)
        return (meta.format, meta.boot, meta.lineage) == (_FORMAT, self._boot, self._lineage)

    def _load(self) -> None:
        """Read the offset, and make the index from the rows."""
        with self._env.begin() as txn:
            raw = txn.get(_META, db=self._about)
            meta = _decode_meta(raw) if raw is not None else None
            self.offset = meta.offset if meta is not None else -1
            self._next_row = meta.next_row if meta is not None else 0
            self._index = HashIndex(txn.stat(self._rows)["entries"])
            self._dues = {int.from_bytes(key[:8], "big") for key, _ in txn.cursor(self._calendar)}
            names: dict[str, int] = {}
            for key, value in txn.cursor(self._rows):
                names[decode_event(value).event_id] = int.from_bytes(key, "big")
                if len(names) >= _CHUNK:
                    self._index_names(names)
            self._index_names(names)

    def _index_names(self, names: dict[str, int]) -> None:
        rows = np.fromiter(names.values(), np.int64, len(names))
        self._index.put(hashes_of(list(names)), rows)
        names.clear()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def dues(self) -> set[int]:
        """Every moment at which a stored event is due, and some at which none is any more."""
        return self._dues

    def get(self, ids: Sequence[str]) -> dict[str, OpenEvent]:
        """Return the stored ones of these events."""
        rows = self._index.rows(hashes_of(ids))
        known = np.sort(rows[rows >= 0]).astype(">i8").tobytes()
        if not len(known):
            return {}
        wanted = set(ids)
        events = (decode_event(value) for _, value in self._read(known))
        # Two ids with one hash: the one that is not meant is no answer.
        return {event.event_id: event for event in events if event.event_id in wanted}

    def due_at(self, due: int) -> Iterator[OpenEvent]:
        """Yield the stored events that are due then, as they are in the store."""
        rows = self._calendar_rows(due)
        for first in range(0, len(rows), 8 * _CHUNK):
            found = self._read(rows[first : first + 8 * _CHUNK])
            events = [decode_event(value) for _, value in found]
            newest = self._index.rows(hashes_of([event.event_id for event in events]))
            for (key, _), event, last in zip(found, events, _keys_of(newest.astype(">i8")), strict=True):
                if key == last:
                    yield event

    def _calendar_rows(self, due: int) -> bytes:
        """Return the rows that were written for a due moment, eight bytes each."""
        prefix, rows = due.to_bytes(8, "big"), bytearray()
        with self._env.begin(db=self._calendar) as txn, txn.cursor() as cursor:
            if cursor.set_range(prefix):
                for key, value in cursor:
                    if key[:8] != prefix:
                        break
                    rows += value
        return bytes(rows)

    def _read(self, rows: bytes) -> list[tuple[bytes, bytes]]:
        """Return keys and values of those of these rows that are there, in their order."""
        self._reads += len(rows) // 8
        with self._env.begin(db=self._rows) as txn, txn.cursor() as cursor:
            found: list[tuple[bytes, bytes]] = cursor.getmulti(_keys_of(rows))
        return found

    def write(
        self, changed: Iterable[OpenEvent], gone: Sequence[str], done: Iterable[int], offset: int
    ) -> None:
        """Make the store what the log says up to ``offset``.

        Parameters
        ----------
        changed
            Events that are new or not as they were.
        gone
            Events that are done with.
        done
            Moments at which everything due has been dealt with: their rows are deleted.
        """
        events = list(changed)
        first, self._next_row = self._next_row, self._next_row + len(events)
        rows = np.arange(first, self._next_row)
        with self._env.begin(write=True) as txn:
            for due in done:
                self._delete(txn, due)
            keys = _keys_of(rows.astype(">i8"))
            with txn.cursor(self._rows) as cursor:
                cursor.putmulti(list(zip(keys, map(encode_event, events), strict=True)), append=True)
            for due, its in _by_due(events, rows).items():
                txn.put(due.to_bytes(8, "big") + first.to_bytes(8, "big"), its, db=self._calendar)
                self._dues.add(due)
            meta = _Meta(_FORMAT, self._boot, self._lineage, offset, self._next_row)
            txn.put(_META, _encode_meta(meta), db=self._about)
            with txn.cursor(self._rows) as cursor:
                lowest = int.from_bytes(cursor.key(), "big") if cursor.first() else self._next_row
        self.offset = offset
        self._index.rebase(lowest)
        if gone:
            self._index.drop(hashes_of(gone))
        if events:
            self._index.put(hashes_of([event.event_id for event in events]), rows)
        self._let_pages_go()

    def _delete(self, txn: Any, due: int) -> None:
        """Delete every row that was written for a due moment, superseded ones too."""
        prefix = due.to_bytes(8, "big")
        with txn.cursor(self._calendar) as cursor:
            more = cursor.set_range(prefix)
            while more and cursor.key()[:8] == prefix:
                for key in _keys_of(cursor.value()):
                    txn.delete(key, db=self._rows)
                more = cursor.delete()
        self._dues.discard(due)

    def _let_pages_go(self) -> None:
        """Map the file afresh now and then: pages once read would count as ours for ever."""
        if self._reads >= _READS_PER_MAP:
            self._reads = 0
            self._env.set_mapsize(_MAP_BYTES)

    def close(self) -> None:
        """Let go of the files."""
        self._env.close()
        self._lock.close()


def _keys_of(rows: bytes | npt.NDArray[np.int64]) -> list[bytes]:
    """Return the keys of rows, given as eight big-endian bytes each.

    Cut out of one buffer that takes a tenth of what ``int.to_bytes`` takes for each.
    """
    raw = rows if isinstance(rows, bytes) else rows.tobytes()
    return [raw[at : at + 8] for at in range(0, len(raw), 8)]


def _by_due(events: Sequence[OpenEvent], rows: Any) -> dict[int, bytes]:
    """Return the rows of each due moment, eight bytes each."""
    if not events:
        return {}
    dues = np.fromiter((event.due for event in events), np.int64, len(events))
    order = np.argsort(dues, kind="stable")
    moments, starts = np.unique(dues[order], return_index=True)
    parts = np.split(rows[order].astype(">i8"), starts[1:])
    return {due: part.tobytes() for due, part in zip(moments.tolist(), parts, strict=True)}


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
