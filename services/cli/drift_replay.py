"""``driftline drift replay``: the detectors over the past of a topic, without any service."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path

import click
import msgspec

from services.cli.connection import Connection, connection_options
from services.cli.drift_page import drift_page
from services.cli.drift_reading import Watched as Reported
from services.cli.drift_view import alarm_sentence, budget_sentence, print_status
from services.cli.letters import Letter, bounds, scan
from services.cli.printing import moment
from services.cli.selection import parse_moment
from shared.bundle.baseline import load_baseline
from shared.bundle.read import load_bundle
from shared.drift.stream.offline import OfflineDrift
from shared.drift.stream.watched import MAX_FUTURE_MS, Watched
from shared.errors import ServiceError
from shared.kafka.records import Records
from shared.messages import DriftAlarm, DriftReport

_CHUNK = 4_000


def _moment(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    return None if text is None else parse_moment(text, int(time.time() * 1000))


@click.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--from",
    "begin",
    metavar="WHEN",
    callback=_moment,
    help="Records from then on: 2h, 7d, or an RFC 3339 time.",
)
@click.option("--to", "end", metavar="WHEN", callback=_moment, help="Records before then; now, if left out.")
@click.option(
    "--several-models",
    is_flag=True,
    help="Leave out events that name no model, as a drift service does that watches several models.",
)
@click.option(
    "--max-future-seconds",
    type=click.IntRange(0),
    default=MAX_FUTURE_MS // 1000,
    show_default=True,
    help="How far occurred_at may lie after the record's own timestamp; the service's setting of that name.",
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with plots too.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the report of every window instead, one line each."
)
@connection_options
def replay(
    connection: Connection,
    *,
    bundle: Path,
    begin: int | None,
    end: int | None,
    several_models: bool,
    max_future_seconds: int,
    html: Path | None,
    as_json: bool,
) -> None:
    """Run the detectors of the model in BUNDLE over past events.

    It counts and merges as the service does, and touches nothing: no group, no state, no report. Evidence
    starts from nothing at --from. Channels of predictions take no part.
    """
    opened = load_bundle(bundle)
    watched = Watched.of(opened.spec, load_baseline(opened), max_future=max_future_seconds * 1000)
    reports = connection.run(_replay(connection, watched, begin, end, alone=not several_models))
    if not reports:
        raise ServiceError(
            f"no events of {watched.model} lie there, or too few to tell their rate (256 are needed)"
        )
    if as_json:
        for report in reports:
            click.echo(msgspec.json.encode(report).decode())
        return
    found = Reported(watched.model, watched.version, list(reports))
    _print_alarms(reports)
    print_status(found)
    if html is not None:
        drift_page(found).write(html)
        click.echo(f"{html} written")


def _print_alarms(reports: list[DriftReport]) -> None:
    """Print every alarm that was raised, in order, whether it is still on or not."""
    alarms: dict[tuple[int, str], DriftAlarm] = {}
    for report in reports:
        for channel in report.channels:
            if channel.alarm is not None:
                alarms[channel.alarm.raised.events, channel.name] = channel.alarm
    events = sum(report.events for report in reports)
    click.echo(f"{events:,} events in {len(reports):,} windows, {len(alarms)} alarms")
    if reports[-1].budget is not None:
        click.echo(budget_sentence(reports[-1]))
    for (_, name), alarm in sorted(alarms.items()):
        click.echo(f"{moment(alarm.raised.occurred_at)}  {name}: {alarm_sentence(alarm)}")
    click.echo()


async def _replay(
    connection: Connection, watched: Watched, begin: int | None, end: int | None, *, alone: bool
) -> list[DriftReport]:
    topic = connection.topics.events
    async with connection.reader() as consumer:
        partitions = await connection.partitions(consumer, topic)
        spans = await bounds(consumer, partitions)
        for index, when in ((0, begin), (1, end)):
            if when is None:
                continue
            found = await consumer.offsets_for_times(dict.fromkeys(partitions, when))
            for tp, at in found.items():
                offset = spans[tp][1] if at is None else at.offset
                first, last = spans[tp]
                spans[tp] = (max(first, offset), last) if index == 0 else (first, min(last, offset))
        offline = OfflineDrift(watched, len(partitions), topic, now=int(time.time() * 1000), alone=alone)
        held: defaultdict[int, list[Letter]] = defaultdict(list)
        async for record in scan(consumer, spans):
            held[record.partition].append(record)
            if len(held[record.partition]) >= _CHUNK:
                offline.add(_columns(held.pop(record.partition)))
        for records in held.values():
            offline.add(_columns(records))
        return list(offline.finish())


def _columns(records: list[Letter]) -> Records:
    return Records(
        topic=records[0].topic,
        partition=records[0].partition,
        start=records[0].offset,
        end=records[-1].offset + 1,
        offsets=[record.offset for record in records],
        timestamps=[record.timestamp for record in records],
        keys=[record.key for record in records],
        values=[record.value for record in records],
        headers=[record.headers for record in records],
    )
