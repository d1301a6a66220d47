"""``driftline topics create|list``."""

from __future__ import annotations

import click

from services.cli.connection import Connection, connection_options
from shared.errors import ServiceError
from shared.kafka.topics import TopicState, create_topics, existing_topics

_SIGNS = {"created": "+", "exists": "=", "differs": "!"}


@click.command()
@click.option(
    "--partitions",
    type=click.IntRange(1, 10_000),
    default=12,
    show_default=True,
    help="Partitions of the events, and of all that keep their event's partition.",
)
@click.option(
    "--replication",
    metavar="NUMBER|auto",
    default="auto",
    show_default=True,
    callback=lambda _context, _option, value: _copies(value),
    help="Copies of each record; auto is three, or as many as there are brokers.",
)
@connection_options
def create(connection: Connection, partitions: int, replication: int | None) -> None:
    """Create the topics that are missing; change none that exist.

    Partitions decide how many processes can share the work, and cannot be made fewer later.
    """
    states = connection.run(
        create_topics(connection.client, connection.topics, partitions=partitions, replication=replication)
    )
    for state in states:
        click.echo(_line(state))
    created = sum(state.action == "created" for state in states)
    differing = sum(state.action == "differs" for state in states)
    click.echo(f"{created} created, {len(states) - created} existed, {differing} of them not as asked for")


@click.command("list")
@connection_options
def list_topics(connection: Connection) -> None:
    """List Driftline's topics and their partitions; fails if one is missing."""
    found = connection.run(existing_topics(connection.client, connection.topics))
    for name, partitions in found.items():
        click.echo(f"{name:<32} {'missing' if partitions is None else _partitions(partitions)}")
    if missing := [name for name, partitions in found.items() if partitions is None]:
        raise ServiceError(
            f"{len(missing)} of {len(found)} topics are missing; `driftline topics create` makes them"
        )


def _copies(value: str) -> int | None:
    """Return a number of copies, ``None`` for ``auto``."""
    if value == "auto":
        return None
    if not value.isdecimal() or not 1 <= int(value) <= 100:
        raise click.BadParameter("a number of copies, or auto")
    return int(value)


def _line(state: TopicState) -> str:
    text = f"{_SIGNS[state.action]} {state.name:<32} {state.action:<8} {_partitions(state.partitions)}"
    return "; ".join([text, *state.differences])


def _partitions(count: int) -> str:
    return f"{count} partition{'' if count == 1 else 's'}"
