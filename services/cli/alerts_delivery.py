"""``driftline alerts test-receiver|redeliver``."""

from __future__ import annotations

import asyncio
import getpass
from pathlib import Path

import click

from services.cli.alerts_reading import known_alerts, now_ms, one_alert, send_command
from services.cli.connection import Connection, connection_options
from shared.alerting.posting import Outcome, Poster
from shared.alerting.rules import Receiver
from shared.alerting.rules_file import load_rules
from shared.alerting.states import Delivery, delivery_key
from shared.errors import ServiceError
from shared.messages import Alert, Redeliver

RULES_OPTION = click.option(
    "--rules",
    "rules_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="DRIFTLINE_ALERT_RULES",
    required=True,
    help="The rules file. (DRIFTLINE_ALERT_RULES)",
)


@click.command("test-receiver")
@click.argument("name")
@RULES_OPTION
@click.option("--resolved", is_flag=True, help="Send the end of an alert instead of its beginning.")
def test_receiver(name: str, rules_file: Path, *, resolved: bool) -> None:
    """Send a test notification to one receiver, once, and say what became of it."""
    receivers = {receiver.name: receiver for receiver in load_rules(rules_file).receivers}
    if name not in receivers:
        raise ServiceError(f"no receiver is called {name}; there are: {', '.join(receivers) or 'none'}")
    outcome = asyncio.run(_post(receivers[name], resolved))
    if not outcome.delivered:
        raise ServiceError(f"{name} did not take it: {outcome.error}")
    click.echo(f"{name} took it ({receivers[name].format})")


@click.command()
@click.argument("alert_id", metavar="[ALERT]", required=False)
@click.option("--receiver", help="Only to this receiver.")
@connection_options
def redeliver(connection: Connection, *, alert_id: str | None, receiver: str | None) -> None:
    """Send notifications again that were given up, or everything of one alert."""
    known = connection.run(known_alerts(connection))
    whole = one_alert(known, alert_id).alert_id if alert_id else None
    chosen = [
        delivery
        for delivery in known.deliveries
        if receiver in (None, delivery.receiver)
        and (delivery.state == "given-up" if whole is None else delivery.alert.alert_id == whole)
    ]
    if not chosen:
        raise ServiceError("there is nothing to send again: no notification that matches was given up")
    asked = Redeliver(who=getpass.getuser(), at=now_ms(), receiver=receiver, alert_id=whole)
    connection.run(send_command(connection, asked))
    names = ", ".join(sorted({delivery.receiver for delivery in chosen}))
    click.echo(f"{len(chosen)} notifications go to {names} again, under the same keys")


async def _post(receiver: Receiver, resolved: bool) -> Outcome:
    now = now_ms()
    alert = Alert(
        alert_id="test",
        rule="test-receiver",
        severity="info",
        status="resolved" if resolved else "firing",
        summary=f"a test by {getpass.getuser()}: nothing is wrong",
        subject="test",
        started_at=now,
        changed_at=now,
    )
    async with Poster(receiver) as poster:
        return await poster.post(Delivery(delivery_key(receiver.name, alert), receiver.name, alert, now))
