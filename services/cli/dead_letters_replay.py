"""``driftline dead-letters replay``: plan, ask, send, report."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import click
from aiokafka import AIOKafkaConsumer

from services.cli.connection import Connection, connection_options, partitions_by_topic
from services.cli.dead_letters import selection_options, spans_of
from services.cli.replay import Plan, Replay, Spans, Tally
from services.cli.selection import Selection, parse_place
from shared.errors import ConfigError, ServiceError
from shared.kafka.capability import require_transactions
from shared.pipeline.options import Delivery, PipelineOptions

_SHOWN_PROBLEMS = 20


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
    job = _Job(selection, connection.run(spans_of(connection)), options, limit, again)
    plan = connection.run(_plan(connection, job))
    if _confirmed(connection, plan, dry_run=dry_run, yes=yes):
        _report(connection.run(_send(connection, job, plan)))


async def send_again(connection: Connection, selection: Selection) -> Tally:
    """Send letters again without asking: at least once where the broker cannot do it exactly once."""
    options = await _options(connection, at_least_once=True)
    job = _Job(selection, await spans_of(connection), options)
    plan = await _plan(connection, job)
    return await _send(connection, job, plan) if plan.to_send else Tally()


@dataclass(frozen=True, slots=True)
class _Job:
    """A replay as it was asked for, over the spans that were there when it was planned."""

    selection: Selection
    spans: Spans
    options: PipelineOptions
    limit: int | None = None
    again: bool = False


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


async def _send(connection: Connection, job: _Job, plan: Plan) -> Tally:
    async with connection.reader() as consumer:
        known = await partitions_by_topic(consumer)
        return await _replay_of(consumer, job).run(job.spans, known, plan.sources)


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
        outputs=(),  # known once the topics are
        state_topic=topic,  # where the marks are
    )


def _report(tally: Tally) -> None:
    """Say what was done; letters that have no place to go to are an error."""
    done = f"; {tally.skipped} had been sent again before" if tally.skipped else ""
    click.echo(f"{tally.replayed} sent again{done}")
    for problem in tally.unsendable[:_SHOWN_PROBLEMS]:
        click.echo(f"not sent: {problem}", err=True)
    if tally.unsendable:
        raise ServiceError(f"{len(tally.unsendable)} dead letters could not be sent again")
