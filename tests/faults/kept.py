"""Records whose values lie in a file: a reader that runs for hours must not hold all of them in memory."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import Any

from aiokafka import ConsumerRecord


@dataclass(frozen=True, slots=True)
class Kept:
    """As much of a record as the rules look at."""

    offset: int
    timestamp: int
    key: bytes | None
    headers: tuple[Any, ...]
    _file: int
    _at: int
    _size: int

    @property
    def value(self) -> bytes:
        """The value, read back."""
        return os.pread(self._file, self._size, self._at)


class Spool:
    """A nameless file that values are appended to; gone with the process.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> spool = Spool()
    >>> values = [b"one", b"", b"three"]
    >>> kept = [spool.keep(SimpleNamespace(offset=at, timestamp=0, key=b"k", headers=(), value=value))
    ...         for at, value in enumerate(values)]
    >>> [record.value for record in kept] == values
    True
    >>> spool.close()
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed by close)
        self._end = 0
        self._keys: dict[bytes | None, bytes | None] = {}

    def keep(self, record: ConsumerRecord) -> Kept:
        """Write a record's value away; what is often the same is held once."""
        at, size = self._end, len(record.value or b"")
        if size:
            self._file.write(record.value)
        self._end += size
        if len(self._keys) > 10_000:
            self._keys.clear()
        key = self._keys.setdefault(record.key, record.key)
        headers = tuple(record.headers)
        return Kept(record.offset, record.timestamp, key, headers, self._file.fileno(), at, size)

    def close(self) -> None:
        """Remove the file; what was kept cannot be read any more."""
        self._file.close()
