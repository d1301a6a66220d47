"""What is known of alerts, read from their topic and from what the alerting service keeps."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import msgspec
from aiokafka import AIOKafkaProducer

from services.cli.connection import Connection
from services.cli.letters import bounds, scan
from shared.alerting.states import Delivery, Watch
from shared.errors import ServiceError
from shared.messages import NOT_JSON, Alert, AlertCommand, Silence


@dataclass(slots=True)
class Known:
    """Everything there is.

    Attributes
    ----------
    alerts
        The newest word of every alert, by id, in the order in which they changed: of what fires the
        service's own, since the topic holds an alert no longer than its retention.
    pending
        Alerts that do not fire yet.
    deliveries, silences
        What the service keeps of them.
    """

    alerts: dict[str, Alert] = field(default_factory=dict)
    pending: list[Watch] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)

    def is_over(self, receiver: str, alert: Alert) -> bool:
        """Return whether this beginning of an alert would be sent to a receiver that hears no end of it."""
        if alert.status != "firing":
            return False
        ends = [
            one.state
            for one in self.deliveries
            if (one.receiver, one.alert.alert_id) == (receiver, alert.alert_id)
            and one.alert.status == "resolved"
            and one.alert.changed_at >= alert.changed_at
        ]
        newest = self.alerts.get(alert.alert_id)
        return "delivered" in ends if ends else newest is None or newest.status != "firing"


async def known_alerts(connection: Connection) -> Known:
    """Read both topics from their beginning to their end; what is no message is passed over."""
    known, kept = Known(), dict[str, bytes | None]()
    async with connection.reader() as consumer:
        partitions = await connection.partitions(consumer, connection.topics.alerts)
        async for record in scan(consumer, await bounds(consumer, partitions)):
            try:
                alert = msgspec.json.decode(record.value or b"", type=Alert)
            except NOT_JSON:
                continue
            known.alerts.pop(alert.alert_id, None)
            known.alerts[alert.alert_id] = alert
    async with connection.reader() as consumer:
        partitions = await connection.partitions(consumer, connection.topics.state("alerting"))
        async for record in scan(consumer, await bounds(consumer, partitions)):
            kept[(record.key or b"").decode("utf-8", "replace")] = record.value
    for key, value in kept.items():
        if value is not None:
            _keep(known, key.partition("/")[0], value)
    return known


def _keep(known: Known, kind: str, value: bytes) -> None:
    try:
        match kind:
            case "watch":
                watch = msgspec.json.decode(value, type=Watch)
                if watch.alert is None:
                    known.pending.append(watch)
                else:
                    known.alerts[watch.alert_id] = watch.alert
            case "delivery":
                known.deliveries.append(msgspec.json.decode(value, type=Delivery))
            case "silence":
                known.silences.append(msgspec.json.decode(value, type=Silence))
    except NOT_JSON:
        return  # of another version


async def send_command(connection: Connection, command: AlertCommand) -> None:
    """Ask the alerting service for something.

    Raises
    ------
    ServiceError
        There is no topic for it.
    """
    async with connection.reader() as consumer:
        await connection.partitions(consumer, connection.topics.alert_commands)
    async with AIOKafkaProducer(**connection.client) as producer:
        await producer.send_and_wait(connection.topics.alert_commands, msgspec.json.encode(command))


def one_alert(known: Known, given: str) -> Alert:
    """Return the alert whose id begins with ``given``.

    Raises
    ------
    ServiceError
        There is none, or more than one.
    """
    found = [alert for name, alert in known.alerts.items() if name.startswith(given)]
    if len(found) != 1:
        many = "several alerts have" if found else "no alert has"
        raise ServiceError(f"{many} an id that begins with {given}: `driftline alerts list --all` lists them")
    return found[0]


def now_ms() -> int:
    """Return the time, milliseconds since 1970."""
    return int(time.time() * 1000)
