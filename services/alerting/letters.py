"""A notification that was given up, as a dead letter that sends it again when it is replayed."""

from __future__ import annotations

from typing import Final

import msgspec

from services.alerting.telling import trace_headers
from shared.alerting.durations import spoken
from shared.alerting.states import Delivery
from shared.dead_letters import dead_letter_headers
from shared.errors import NotDelivered
from shared.kafka.records import Headers
from shared.messages import Redeliver

Letter = tuple[bytes | None, bytes | None, Headers]
"""Key, value and headers of a record of the dead-letters topic."""

_NO_OFFSET: Final = -1
"""It came of no record: the command in it is written here for the first time."""


def notification_letter(delivery: Delivery, commands: str, now: int) -> Letter:
    """Return the letter of a notification that was given up.

    Its value is the command that sends this very notification again, and its source the topic of
    commands: replaying the letter carries the command out.

    Parameters
    ----------
    commands
        Topic of the commands, with its prefix.
    """
    alert = delivery.alert
    command = Redeliver(
        who="alerting", at=now, receiver=delivery.receiver, alert_id=alert.alert_id, alert=alert
    )
    tried = f"in {delivery.attempts} attempt{'' if delivery.attempts == 1 else 's'}"
    error = NotDelivered(
        f"{delivery.receiver} was not told that {alert.rule} is {alert.status} ({alert.summary}): {tried} "
        f"over {spoken(max(0, now - delivery.created_at))}, the last failed with: {delivery.error}",
        field=delivery.receiver,
    )
    headers = dead_letter_headers(
        trace_headers(alert),
        error,
        service="alerting",
        topic=commands,
        partition=0,
        offset=_NO_OFFSET,
        now=now,
    )
    return delivery.key.encode(), msgspec.json.encode(command), headers
