"""``driftline predictions tail``: predictions as they become visible."""

from __future__ import annotations

from contextlib import suppress

import click
import msgspec
from aiokafka import AIOKafkaConsumer

from services.cli.connection import Connection, connection_options
from services.cli.printing import moment, safe
from shared.messages import NOT_JSON, Prediction

_decode = msgspec.json.Decoder(Prediction).decode
_METADATA_MS = 5_000


@click.command()
@click.option("--from-beginning", is_flag=True, help="Begin with the oldest, not with those to come.")
@click.option("--model", help="Only this model's.")
@click.option("--max", "limit", type=click.IntRange(1), help="Stop after N.")
@click.option("--json", "as_json", is_flag=True, help="The messages as they are, one per line.")
@connection_options
def tail(
    connection: Connection, from_beginning: bool, model: str | None, limit: int | None, as_json: bool
) -> None:
    """Print predictions as they become visible to a reader of committed records; Ctrl-C ends it."""
    with suppress(KeyboardInterrupt):
        connection.run(_tail(connection, from_beginning, model, limit, as_json))


async def _tail(
    connection: Connection, from_beginning: bool, model: str | None, limit: int | None, as_json: bool
) -> None:
    topic = connection.topics.predictions
    async with connection.reader(metadata_max_age_ms=_METADATA_MS) as consumer:
        partitions = await connection.partitions(consumer, topic)
        consumer.assign(partitions)
        await (consumer.seek_to_beginning if from_beginning else consumer.seek_to_end)(*partitions)
        click.echo(f"{topic}: waiting for predictions, Ctrl-C ends", err=True)
        await _print_records(consumer, model, limit, as_json)


async def _print_records(
    consumer: AIOKafkaConsumer, model: str | None, limit: int | None, as_json: bool
) -> None:
    shown = 0
    while limit is None or shown < limit:
        fetched = await consumer.getmany(timeout_ms=500)
        for record in (record for records in fetched.values() for record in records):
            prediction = _read(record.value)
            if model is not None and (prediction is None or prediction.model != model):
                continue
            if as_json:
                click.echo(record.value)
            else:
                click.echo(
                    _line(prediction) if prediction else f"not a prediction: {safe(record.value, 200)}"
                )
            shown += 1
            if shown == limit:
                return


def _read(value: bytes | None) -> Prediction | None:
    try:
        return _decode(value or b"")
    except NOT_JSON:  # shown as what it is
        return None


def _line(prediction: Prediction) -> str:
    """Return a prediction for people.

    Examples
    --------
    >>> from shared.messages import Source
    >>> _line(Prediction("e1", "flights", "3", 0.83129, 1357017300000, 1357017300012,
    ...                  Source("events", 2, 7), "N14228", "late"))
    '2013-01-01 05:15:00Z  flights 3  e1  N14228  score 0.8313  late  events[2]@7'
    """
    p = prediction
    source = f"{p.source.topic}[{p.source.partition}]@{p.source.offset}"
    parts = [f"{p.model} {p.model_version}", p.event_id, p.entity_id, f"score {p.score:.4g}", p.label, source]
    return "  ".join([moment(p.occurred_at), *(safe(part) for part in parts if part is not None)])
