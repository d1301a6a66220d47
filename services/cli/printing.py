"""Bytes and tables on a terminal, where nothing that a stranger sent may move the cursor."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 200


def safe(data: bytes | str | None, limit: int | None = None) -> str:
    """Return bytes as text for a terminal: whatever is not printable is written as an escape.

    Examples
    --------
    >>> safe(b'{"a": 1}'), safe(bytes([27]) + b"[2J" + bytes([255])), safe(None)
    ('{"a": 1}', '\\\\x1b[2J\\\\xff', '(none)')
    >>> safe(b"abcdef", limit=4)
    'abcd… (2 more bytes)'
    """
    if data is None:
        return "(none)"
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogatepass")
    cut = data if limit is None else data[:limit]
    text = cut.decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    rest = len(data) - len(cut)
    return f"{text}… ({rest} more bytes)" if rest else text


def moment(epoch_ms: int) -> str:
    """Return a time for people, in UTC.

    Examples
    --------
    >>> moment(1357017300000)
    '2013-01-01 05:15:00Z'
    """
    try:
        return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(epoch_ms)


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], *, whole: int = 1) -> None:
    """Print a table; cells are text as they are, never markup. Wide where nobody's window limits it.

    Parameters
    ----------
    whole
        The first columns, which are never broken: what a person copies.
    """
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for number, name in enumerate(columns):
        made.add_column(name, no_wrap=number < whole, overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)
    console.print(made)


def duration(seconds: float) -> str:
    """Return a duration for people.

    Examples
    --------
    >>> duration(42), duration(5_400), duration(200_000)
    ('42 s', '1.5 h', '2.3 days')
    """
    for unit, size in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 1.2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
