"""Tells receivers that forget: an Alertmanager resolves what it is not told of again."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final

from shared.alerting.posting import Poster
from shared.alerting.rules import Receiver
from shared.logs import get_logger
from shared.messages import Alert

log = get_logger(__name__)

EVERY_SECONDS: Final = 60.0


class Reminders:
    """Posts what fires to an Alertmanager once a minute; to any other receiver nothing.

    It keeps alerts in memory until the end that each post names, so that one that was restarted knows of
    none. What a post fails to say the next one does: nothing is queued.

    Parameters
    ----------
    receiver
        From the rules file.
    standing
        Returns the alerts that fire and that the receiver was to be told of.
    every
        Seconds between two posts.
    """

    def __init__(
        self,
        receiver: Receiver,
        standing: Callable[[Receiver], Awaitable[list[Alert]]],
        *,
        every: float = EVERY_SECONDS,
    ) -> None:
        self._receiver = receiver
        self._standing = standing
        self._every = every
        self._next = time.monotonic()

    async def turn(self, poster: Poster) -> None:
        """Remind if it is time to; call it between two deliveries, so that no end is overtaken."""
        if self._receiver.format != "alertmanager" or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every
        if alerts := await self._standing(self._receiver):
            outcome = await poster.remind(alerts)
            if not outcome.delivered:
                log.warning(
                    "Alertmanager was not reminded of what fires, tried again in a minute",
                    receiver=self._receiver.name,
                    alerts=len(alerts),
                    error=outcome.error,
                )
