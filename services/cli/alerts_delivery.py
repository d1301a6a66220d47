"""``driftline alerts test-receiver|redeliver``."""

from __future__ import annotations

import asyncio
import getpass
from dataclasses import dataclass, field
from pathlib import Path

import click
import msgspec

from services.cli.alerts_reading import Known, known_alerts, now_ms, one_alert, send_command
from services.cli.connection import Connection, connection_options
from services.cli.dead_letters_replay import send_again
from services.cli.letters import Letter
from services.cli.selection import Selection
from shared.alerting.posting import Outcome, Poster
from shared.alerting.rules import Receiver
from shared.alerting.rules_file import load_rules
from shared.alerting.states import Delivery, delivery_key
from shared.errors import NotDelivered, ServiceError
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
    """Send notifications again that were given up, or everything of one alert.

    Those that were given up are dead letters; each is sent again once, except the beginning of an alert
    that is over: who heard its end would take it for one that fires. Of an alert, what was delivered is sent
    again too, as often as asked.
    """
    known = connection.run(known_alerts(connection))
    whole = one_alert(known, alert_id).alert_id if alert_id else None
    letters = GivenUp(error=NotDelivered.__name__, alert_id=whole, receiver=receiver, known=known)
    count = connection.run(send_again(connection, letters)).replayed
    delivered = [
        delivery
        for delivery in known.deliveries
        if delivery.state == "delivered"
        and delivery.alert.alert_id == whole
        and receiver in (None, delivery.receiver)
    ]
    if delivered:
        asked = Redeliver(who=getpass.getuser(), at=now_ms(), receiver=receiver, alert_id=whole)
        connection.run(send_command(connection, asked))
    if not count and not delivered:
        raise ServiceError(
            "there is nothing to send again: no notification that matches was given up, of what is not over"
        )
    many = count + len(delivered)
    click.echo(
        "1 notification goes out again, under the same key"
        if many == 1
        else f"{many} notifications go out again, under the same keys"
    )


@dataclass(frozen=True, slots=True)
class GivenUp(Selection):
    """Dead letters of notifications, of one alert or to one receiver where that is said."""

    alert_id: str | None = None
    receiver: str | None = None
    known: Known = field(default_factory=Known)

    def __contains__(self, letter: Letter) -> bool:
        if not Selection.__contains__(self, letter):
            return False
        try:
            asked = msgspec.json.decode(letter.value or b"", type=Redeliver)
        except msgspec.DecodeError:
            return False
        if self.alert_id not in (None, asked.alert_id) or self.receiver not in (None, asked.receiver):
            return False
        return asked.alert is None or not self.known.is_over(asked.receiver or "", asked.alert)


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
