"""``driftline doctor``: looks at everything the services stand on, and says what to do."""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial

import click
import msgspec
from rich.text import Text

from services.cli import checks_kafka, checks_registry
from services.cli.checks import Check, attempt, unknown
from services.cli.connection import Connection, connection_options
from services.cli.printing import table

_SIGNS = {"ok": Text("ok", "green"), "failed": Text("FAILED", "bold red"), "unknown": Text("?", "yellow")}
_BROKER = "start it, or name another: --bootstrap-servers HOST:PORT (DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS)"
_REDIS = "start it, or name another: --redis-url (DRIFTLINE_REDIS_URL)"


@click.command()
@click.option(
    "--delivery",
    type=click.Choice(["exactly-once", "at-least-once"]),
    default="exactly-once",
    envvar="DRIFTLINE_DELIVERY",
    show_default=True,
    show_envvar=True,
    help="The guarantee that the services are to hold.",
)
@click.option("--no-registry", is_flag=True, help="Leave out Redis and the registry.")
@click.option(
    "--most-skew", type=click.FloatRange(0), default=2.0, show_default=True, help="Of clocks, seconds."
)
@click.option(
    "--broker-clock", is_flag=True, help="Compare it too, by a topic made for it and deleted again."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@partial(connection_options, registry=True)
def doctor(
    connection: Connection,
    *,
    delivery: str,
    no_registry: bool,
    most_skew: float,
    broker_clock: bool,
    as_json: bool,
) -> None:
    """Check broker, topics, delivery, Redis, registry, bundles and clocks; exit 1 if something fails.

    Changes nothing, but leaves an aborted transaction behind on the broker.
    """
    checks = connection.run(_kafka(connection, delivery, most_skew if broker_clock else None))
    if not no_registry:
        checks += connection.run(_registry(connection, most_skew))
    if as_json:
        click.echo(msgspec.json.encode(checks))
    else:
        _print(checks)
    if any(check.status == "failed" for check in checks):
        sys.exit(1)


async def _kafka(connection: Connection, delivery: str, most: float | None) -> list[Check]:
    checks = [*await attempt("broker", _BROKER, partial(checks_kafka.broker, connection))]
    if checks[0].status == "failed":
        return [*checks, *(unknown(name, "the broker is away") for name in ("topics", "delivery"))]
    checks += await attempt("topics", _BROKER, partial(checks_kafka.topics, connection))
    create = "driftline topics create"
    checks += await attempt("delivery", create, partial(checks_kafka.transactions, connection, delivery))
    if most is not None:
        checks += await attempt("broker's clock", _BROKER, partial(checks_kafka.clock, connection, most))
    return checks


async def _registry(connection: Connection, most: float) -> list[Check]:
    settings = connection.settings
    checks = [*await attempt("Redis", _REDIS, partial(checks_registry.redis, settings, most))]
    if checks[0].status == "failed" and len(checks) == 1:
        return [*checks, unknown("registry", "Redis is away")]
    todo = "is --bundle-store (DRIFTLINE_BUNDLE_STORE) right, and may you read it?"
    return [*checks, *await attempt("registry", todo, partial(checks_registry.registry, settings))]


def _print(checks: list[Check]) -> None:
    table(
        ("", "check", "found"), [(_SIGNS[check.status], check.name, check.found) for check in checks], whole=2
    )
    todo = [check for check in checks if check.todo]
    for check in todo:
        click.echo(f"{check.name}: {check.todo}")
    count = Counter(check.status for check in checks)
    rest = f", {count['unknown']} could not be made" if count["unknown"] else ""
    click.echo(f"{count['ok']} checks passed, {count['failed']} failed{rest}")
