"""The alerts of the demo: its rules, its own webhook receiver, and what was fired and delivered."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import yaml
from aiohttp import web

from shared.alerting.formats import Notification
from shared.alerting.signing import verify
from shared.messages import Alert

RECEIVER: Final = "demo"
LONGEST_SECONDS: Final = 2.0
"""From a drift alarm on the reports topic to its webhook."""

REFUSED: Final = {
    "name": "refused-events",
    "reports": "inference",
    "figure": "errors",
    "above": 0,
    "keep_firing": "1h",  # an hour of flights takes seconds, and not every hour has a bad event
    "severity": "info",
    "summary": "an event of {model} is refused ({errors} of {events} in its window): the demo sends bad "
    "ones on purpose",
}
"""The demo's own rule, beside the built-in ones."""


@dataclass(slots=True)
class AlertLedger:
    """What was fired, and what reached the receiver.

    Attributes
    ----------
    fired
        The newest word of every alert, by its id.
    delivered
        Webhooks by idempotency key, as they came.
    seconds
        From an alarm's report to its webhook, for each drift alert.
    problems
        A sentence for everything that is not well.
    """

    say: Callable[[str], None] = print
    fired: dict[str, Alert] = field(default_factory=dict)
    delivered: dict[str, Notification] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _told: dict[str, set[str]] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Whether the receiver was told of every alert that fired and that nothing muted."""
        wanted = [alert for alert in self.fired.values() if alert.muted_by is None]
        return all(alert.status in self._told.get(alert.alert_id, ()) for alert in wanted)

    def take_alert(self, record: Any, _now: float) -> None:
        """Note a record of the alerts topic."""
        alert = msgspec.json.decode(record.value, type=Alert)
        self.fired[alert.alert_id] = alert

    def webhook(self, notification: Notification) -> None:
        """Note a webhook, and show it."""
        alert = notification.alert
        self._told.setdefault(alert.alert_id, set()).add(alert.status)
        if notification.idempotency_key in self.delivered:
            return  # at least once: the same key says that it is the same
        self.delivered[notification.idempotency_key] = notification
        took = ""
        if alert.rule == "drift" and alert.status == "firing" and alert.changed_at == alert.started_at:
            self.seconds.append(time.time() - alert.started_at / 1000)  # since the drift service wrote it
            took = f" ({self.seconds[-1]:.2f} s after the alarm)"
        word = alert.severity if alert.status == "firing" else "resolved"
        self.say(f"WEBHOOK {word} {alert.rule}: {alert.summary}{took}")


class DemoReceiver:
    """A webhook receiver that checks signatures, as an async context manager.

    Parameters
    ----------
    folder
        Where the rules file goes.
    """

    def __init__(self, folder: Path, ledger: AlertLedger) -> None:
        self._rules = folder / "alert-rules.yml"
        self._secret = secrets.token_hex(16)
        self._ledger = ledger
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/alerts", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        receiver = {
            "name": RECEIVER,
            "url": f"http://127.0.0.1:{self._runner.addresses[0][1]}/alerts",
            "secret_env": "DEMO_WEBHOOK_KEY",
            "allow_http": True,
            "allow_private": True,
        }
        self._rules.write_text(yaml.safe_dump({"rules": [REFUSED], "receivers": [receiver]}, sort_keys=False))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def environment(self) -> dict[str, str]:
        """Settings that only the alerting service gets."""
        return {"DRIFTLINE_ALERT_RULES": str(self._rules), "DEMO_WEBHOOK_KEY": self._secret}

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not verify(self._secret.encode(), dict(request.headers), body, now=time.time()):
            self._ledger.problems.append("a webhook came with a wrong signature")
            return web.Response(status=401)
        self._ledger.webhook(msgspec.json.decode(body, type=Notification))
        return web.Response(status=204)
