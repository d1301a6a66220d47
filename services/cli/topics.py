"""``driftline topics create|list|access``."""

from __future__ import annotations

import shlex

import click

from services.cli.connection import Connection, connection_options
from shared.errors import ServiceError
from shared.kafka.access import ACCESS, rules
from shared.kafka.topics import TopicState, create_topics, existing_topics

_FLAGS = {"topic": "--topic", "group": "--group", "transactionalId": "--transactional-id"}
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


@click.command()
@click.option(
    "--service", "services", type=click.Choice(sorted(ACCESS)), multiple=True, help="Which; all by default."
)
@click.option(
    "--principal",
    metavar="TEXT",
    default="User:{service}",
    show_default=True,
    help="Whom to allow it; {service} stands for the service's name.",
)
@connection_options
def access(connection: Connection, services: tuple[str, ...], principal: str) -> None:
    """Print what each service must be allowed on the brokers, as commands of Kafka's own tool.

    Nothing is asked of the brokers, and nothing changed.
    """
    servers = connection.settings.kafka_bootstrap_servers
    for service in services or ACCESS:
        who = shlex.quote(f"{principal.replace('{service}', service)}")
        for rule in rules(service, connection.topics, group_prefix=connection.settings.group_prefix):
            words = [f"kafka-acls.sh --bootstrap-server {servers} --add --allow-principal {who}"]
            words += [f"--operation {operation}" for operation in rule.operations]
            words.append(f"{_FLAGS[rule.resource]} {shlex.quote(rule.name)}")
            words += ["--resource-pattern-type prefixed"] * rule.prefix
            click.echo(" ".join(words))


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
