"""``driftline dead-letters list|show``: refused events, and the filters that all its commands share."""

from __future__ import annotations

import heapq
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
import msgspec

from services.cli.connection import Connection, connection_options
from services.cli.dead_letters_view import as_json, as_row, bytes_as_json, print_letter
from services.cli.letters import Letter, bounds, marked_offset, scan
from services.cli.printing import table
from services.cli.replay import Spans
from services.cli.selection import Selection, parse_moment, parse_place
from shared.errors import ServiceError

_SHOWN_BYTES = 4_000
Found = list[tuple[Letter, bool]]


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the filters; the command gets them as one ``selection``."""

    @click.option("--error", help="Only this error class (ValidationError, DecodeError, ProcessError).")
    @click.option("--field", help="Only letters whose field at fault is this (hour, features.hour).")
    @click.option("--since", help="Only letters from then on: an age (30m, 2h, 7d) or an RFC 3339 time.")
    @wraps(command)
    def wrapped(error: str | None, field: str | None, since: str | None, **rest: Any) -> Any:
        moment_ms = None if since is None else parse_moment(since, int(time.time() * 1000))
        return command(selection=Selection(error=error, field=field, since=moment_ms), **rest)

    return wrapped


@click.command("list")
@selection_options
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="The newest N.")
@click.option("--json", "as_objects", is_flag=True, help="One JSON object per line.")
@connection_options
def list_letters(connection: Connection, *, selection: Selection, limit: int, as_objects: bool) -> None:
    """List refused events, the newest first."""
    found, total = connection.run(_find(connection, selection, limit))
    if as_objects:
        for letter, replayed in found:
            click.echo(msgspec.json.encode(as_json(letter, replayed)))
        return
    if not found:
        click.echo(f"{connection.topics.dead_letters}: no dead letters" + _that_match(selection))
        return
    table(
        ("letter", "when", "service", "error", "field", "message", "again"),
        [as_row(letter, replayed) for letter, replayed in found],
        whole=2,
    )
    more = f"; the newest {len(found)} are shown, --limit shows more" if total > len(found) else ""
    click.echo(f"{total} dead letter{'s' if total != 1 else ''}{_that_match(selection)}{more}")


@click.command()
@click.argument("place", metavar="PARTITION")
@click.argument("offset", type=click.IntRange(0), required=False)
@click.option("--full", is_flag=True, help=f"Print the whole value, not its first {_SHOWN_BYTES} bytes.")
@click.option("--raw", is_flag=True, help="Write nothing but the value's bytes, exactly as they came.")
@click.option("--json", "as_objects", is_flag=True, help="One JSON object.")
@connection_options
def show(
    connection: Connection, *, place: str, offset: int | None, full: bool, raw: bool, as_objects: bool
) -> None:
    """Show one refused event: why, where from, headers and bytes. `show 0 12` or `show 0:12`."""
    where = parse_place(place if offset is None else f"{place}:{offset}")
    found, _ = connection.run(_find(connection, Selection(places=(where,)), 1))
    if not found:
        raise ServiceError(
            f"{connection.topics.dead_letters} has no dead letter at {where.partition}:{where.first}: "
            "`driftline dead-letters list` lists them"
        )
    letter, replayed = found[0]
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
    elif as_objects:
        click.echo(msgspec.json.encode(as_json(letter, replayed) | bytes_as_json(letter)))
    else:
        print_letter(letter, replayed, None if full else _SHOWN_BYTES)


async def spans_of(connection: Connection) -> Spans:
    """Return what the dead-letters topic holds now: first offset and the one behind the last."""
    async with connection.reader() as consumer:
        return await bounds(consumer, await connection.partitions(consumer, connection.topics.dead_letters))


async def _find(connection: Connection, selection: Selection, limit: int) -> tuple[Found, int]:
    """Return the newest letters that match, each with whether it was sent again, and how many match."""
    newest: list[tuple[tuple[int, int, int], Letter]] = []
    marked: set[tuple[int, int]] = set()
    total = 0
    spans = await spans_of(connection)
    async with connection.reader() as consumer:
        async for letter in scan(consumer, spans):
            if (offset := marked_offset(letter)) is not None:
                marked.add((letter.partition, offset))
            elif letter in selection:
                total += 1
                entry = ((letter.timestamp, letter.partition, letter.offset), letter)
                (heapq.heappush if len(newest) < limit else heapq.heappushpop)(newest, entry)
    letters = [letter for _, letter in sorted(newest, reverse=True)]
    return [(letter, (letter.partition, letter.offset) in marked) for letter in letters], total


def _that_match(selection: Selection) -> str:
    return "" if selection == Selection() else " that match"
