"""``driftline dead-letters``: list, show and replay refused events."""

from __future__ import annotations

import base64
import dataclasses
import heapq
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click
import msgspec
from aiokafka import AIOKafkaConsumer

from services.cli.connection import Connection, connection_options, partitions_by_topic
from services.cli.letters import Letter, bounds, marked_offset, scan
from services.cli.printing import moment, safe, table
from services.cli.replay import Plan, Replay, Spans, Tally
from services.cli.selection import Selection, parse_moment, parse_place
from shared.dead_letters import HEADERS
from shared.errors import ConfigError, ServiceError
from shared.kafka.capability import require_transactions
from shared.pipeline.options import Delivery, PipelineOptions

_SHOWN_BYTES = 4_000
_SHOWN_PROBLEMS = 20
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
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@connection_options
def list_letters(connection: Connection, *, selection: Selection, limit: int, as_json: bool) -> None:
    """List refused events, the newest first."""
    found, total = connection.run(_find(connection, selection, limit))
    if as_json:
        for letter, replayed in found:
            click.echo(msgspec.json.encode(_as_json(letter, replayed)))
        return
    if not found:
        click.echo(f"{connection.topics.dead_letters}: no dead letters" + _that_match(selection))
        return
    table(
        ("letter", "when", "service", "error", "field", "message", "sent again"),
        [_row(letter, replayed) for letter, replayed in found],
    )
    more = f"; the newest {len(found)} are shown, --limit shows more" if total > len(found) else ""
    click.echo(f"{total} dead letter{'s' if total != 1 else ''}{_that_match(selection)}{more}")


@click.command()
@click.argument("place", metavar="PARTITION")
@click.argument("offset", type=click.IntRange(0), required=False)
@click.option("--full", is_flag=True, help=f"Print the whole value, not its first {_SHOWN_BYTES} bytes.")
@click.option("--raw", is_flag=True, help="Write nothing but the value's bytes, exactly as they came.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@connection_options
def show(
    connection: Connection, *, place: str, offset: int | None, full: bool, raw: bool, as_json: bool
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
    elif as_json:
        click.echo(msgspec.json.encode(_as_json(letter, replayed) | _bytes_as_json(letter)))
    else:
        _print_letter(letter, replayed, None if full else _SHOWN_BYTES)


@click.command()
@click.argument("places", nargs=-1, metavar="[PARTITION:OFFSET[-LAST]]...")
@selection_options
@click.option(
    "--all", "everything", is_flag=True, help="Every dead letter; needed where nothing is selected."
)
@click.option("--limit", type=click.IntRange(1), help="At most N, the oldest of each partition first.")
@click.option("--again", is_flag=True, help="Send those that were sent again before, too.")
@click.option("--at-least-once", is_flag=True, help="Accept a broker without transactions.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@connection_options
def replay(
    connection: Connection,
    *,
    places: tuple[str, ...],
    selection: Selection,
    everything: bool,
    limit: int | None,
    again: bool,
    at_least_once: bool,
    dry_run: bool,
    yes: bool,
) -> None:
    """Send refused events again, to the topic and partition they came from.

    The original key, bytes and headers are sent. A letter is sent again once: on Apache Kafka the
    record and a mark that remembers it are one transaction, so that neither a crash nor a second
    replay at the same time sends it twice. `--again` repeats on purpose.
    """
    selection = dataclasses.replace(selection, places=tuple(map(parse_place, places)))
    if selection == Selection() and not everything:
        raise click.UsageError("Say which: 0:12, 0:12-40, --error, --field, --since, or --all.")
    options = connection.run(_options(connection, at_least_once))
    job = _Job(selection, limit, again, connection.run(_spans(connection)), options)
    plan = connection.run(_plan(connection, job))
    if _confirmed(connection, plan, dry_run=dry_run, yes=yes):
        _report(connection.run(_send(connection, job)))


@dataclass(frozen=True, slots=True)
class _Job:
    """A replay as it was asked for, over the spans that were there when it was planned."""

    selection: Selection
    limit: int | None
    again: bool
    spans: Spans
    options: PipelineOptions


def _confirmed(connection: Connection, plan: Plan, *, dry_run: bool, yes: bool) -> bool:
    """Say what would be sent, and return whether to go on."""
    before = "was sent again before and is" if plan.done == 1 else "were sent again before and are"
    done = f"; {plan.done} {before} left out" if plan.done else ""
    letters = f"{plan.to_send} dead letter{'' if plan.to_send == 1 else 's'}"
    click.echo(f"{connection.topics.dead_letters}: {letters} to send again{done}")
    if dry_run or not plan.to_send:
        return False
    return yes or click.confirm("Send?", abort=True)


async def _plan(connection: Connection, job: _Job) -> Plan:
    async with connection.reader() as consumer:
        return await _replay_of(consumer, job).plan(job.spans)


async def _send(connection: Connection, job: _Job) -> Tally:
    async with connection.reader() as consumer:
        return await _replay_of(consumer, job).run(job.spans, await partitions_by_topic(consumer))


def _replay_of(consumer: AIOKafkaConsumer, job: _Job) -> Replay:
    return Replay(
        consumer=consumer,
        options=job.options,
        selection=job.selection,
        again=job.again,
        limit=job.limit,
    )


async def _options(connection: Connection, at_least_once: bool) -> PipelineOptions:
    """Return how to send: exactly once where the broker can, at least once where that was accepted."""
    topic = connection.topics.dead_letters
    group = connection.group("dead-letters-replay")
    delivery: Delivery = "exactly-once"
    try:
        await require_transactions(connection.client, group=group, topic=topic)
    except ConfigError as error:
        if not at_least_once:
            raise ServiceError(
                "this broker has no transactions, so a replay that is cut off, or two at once, may send "
                "an event twice: add --at-least-once to accept that"
            ) from error
        delivery = "at-least-once"
    return PipelineOptions(
        service="dead-letters-replay",
        topics=(topic,),
        group=group,
        delivery=delivery,
        client=connection.client,
    )


async def _spans(connection: Connection) -> Spans:
    async with connection.reader() as consumer:
        return await bounds(consumer, await connection.partitions(consumer, connection.topics.dead_letters))


async def _find(connection: Connection, selection: Selection, limit: int) -> tuple[Found, int]:
    """Return the newest letters that match, each with whether it was sent again, and how many match."""
    newest: list[tuple[tuple[int, int, int], Letter]] = []
    marked: set[tuple[int, int]] = set()
    total = 0
    spans = await _spans(connection)
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


def _row(letter: Letter, replayed: bool) -> list[str]:
    reason = letter.reason
    place, when, again = (
        f"{letter.partition}:{letter.offset}",
        moment(letter.timestamp),
        "yes" if replayed else "",
    )
    if reason is None:
        return [place, when, "?", "?", "", "not written by Driftline", again]
    return [
        place,
        when,
        *map(safe, (reason.service, reason.error, reason.field or "", reason.message)),
        again,
    ]


def _as_json(letter: Letter, replayed: bool) -> dict[str, Any]:
    reason = None if letter.reason is None else msgspec.structs.asdict(letter.reason)
    found = {"partition": letter.partition, "offset": letter.offset, "written_at": letter.timestamp}
    return found | {"sent_again": replayed, "reason": reason}


def _text_or_base64(name: str, data: bytes | None) -> dict[str, Any]:
    try:
        return {name: None if data is None else data.decode()}
    except UnicodeDecodeError:
        assert data is not None
        return {f"{name}_base64": base64.b64encode(data).decode()}


def _bytes_as_json(letter: Letter) -> dict[str, Any]:
    headers = [{"name": name} | _text_or_base64("value", value) for name, value in letter.headers]
    return {"headers": headers} | _text_or_base64("key", letter.key) | _text_or_base64("value", letter.value)


def _print_letter(letter: Letter, replayed: bool, limit: int | None) -> None:
    reason = letter.reason
    lines = [("letter", f"{letter.topic}[{letter.partition}] offset {letter.offset}")]
    lines += [("written", moment(letter.timestamp)), ("sent again", "yes" if replayed else "no")]
    if reason is not None:
        source = f"{reason.topic}[{reason.partition}] offset {reason.offset}"
        lines += [("error", f"{reason.error}: {reason.message}"), ("field", reason.field or "(none)")]
        lines += [("service", reason.service), ("came from", source)]
    lines += [("key", safe(letter.key))]
    lines += [(f"header {name}", safe(value)) for name, value in letter.headers if name not in HEADERS]
    lines += [("bytes", str(len(letter.value or b""))), ("value", safe(letter.value, limit))]
    for name, text in lines:
        click.echo(f"{safe(name) + ':':<12} {safe(text)}")


def _report(tally: Tally) -> None:
    """Say what was done; letters that have no place to go to are an error."""
    done = f"; {tally.skipped} had been sent again before" if tally.skipped else ""
    click.echo(f"{tally.replayed} sent again{done}")
    for problem in tally.unsendable[:_SHOWN_PROBLEMS]:
        click.echo(f"not sent: {problem}", err=True)
    if tally.unsendable:
        raise ServiceError(f"{len(tally.unsendable)} dead letters could not be sent again")
