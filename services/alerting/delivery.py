"""Delivers notifications: one task per receiver, each with its own queue and connection."""

from __future__ import annotations

import asyncio
import contextlib

from services.alerting.duty import Duty
from services.alerting.metrics import AlertingMetrics
from services.alerting.reminders import Reminders
from services.alerting.telling import about, trace_of_alert
from shared.alerting.posting import Outcome, Poster
from shared.alerting.rules import Receiver
from shared.alerting.states import Delivery
from shared.logs import get_logger
from shared.pipeline.crash_points import crash_point
from shared.tracing import within

log = get_logger(__name__)

_LOOK_SECONDS = 0.25


async def deliver(receiver: Receiver, duty: Duty, metrics: AlertingMetrics) -> None:
    """Deliver what is due to one receiver, for ever; a receiver that is slow or away holds only itself."""
    reminders = Reminders(receiver, duty.standing)
    async with Poster(receiver) as poster:
        while True:
            await reminders.turn(poster)
            due = await duty.due(receiver.name)
            metrics.queue.labels(receiver.name).set(duty.alerting.outbox.waiting(receiver.name))
            if due is None:
                await _pause(duty)
                continue
            outbox, delivery = due
            await crash_point("before-post")
            outcome = await poster.post(delivery)
            await crash_point("after-post")
            await duty.settle(outbox, delivery, outcome)
            say(delivery, outcome, metrics)


async def _pause(duty: Duty) -> None:
    """Wait until there may be something new, or until a pause between attempts may be over."""
    duty.woken.clear()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(duty.woken.wait(), _LOOK_SECONDS)


def say(delivery: Delivery, outcome: Outcome, metrics: AlertingMetrics) -> None:
    """Count an attempt and log it under the trace of the alert."""
    name = "failed" if delivery.state == "waiting" else delivery.state
    metrics.attempts.labels(delivery.receiver, name).inc()
    fields = {
        "receiver": delivery.receiver,
        "rule": delivery.alert.rule,
        "status": delivery.alert.status,
        "attempts": delivery.attempts,
    } | about(delivery.alert)
    with within(trace_of_alert(delivery.alert)):
        if outcome.delivered:
            log.info("notification delivered", **fields)
        elif delivery.state == "waiting":
            log.warning("notification not delivered yet", error=outcome.error, **fields)
        else:
            what = "notification given up, it is a dead letter: `driftline alerts redeliver` sends it again"
            log.error(what, error=outcome.error, **fields)
