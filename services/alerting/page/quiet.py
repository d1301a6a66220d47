"""Why nobody may have heard of an alert: a receiver that does not take it, or a silence; from the state."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from services.alerting.outbox import DELIVERY
from services.alerting.process import SILENCE
from shared.alerting.states import Delivery
from shared.messages import Silence

MOST_KEPT: Final = 20_000
"""Notifications that are remembered: twice what waits at most for one receiver."""

_delivery = msgspec.json.Decoder(Delivery).decode
_silence = msgspec.json.Decoder(Silence).decode


class _Untold(NamedTuple):
    receiver: str
    given_up: bool
    created_at: int
    error: str


@dataclass(slots=True)
class Backlog:
    """What one receiver has not taken.

    Attributes
    ----------
    waiting, given_up
        Notifications.
    since
        When the oldest of them came about.
    error
        Why the newest one failed.
    """

    waiting: int = 0
    given_up: int = 0
    since: int = 0
    error: str = ""


class Untold:
    """What receivers have not taken, and which silences there are; bounded."""

    def __init__(self) -> None:
        self._untold: dict[bytes, _Untold] = {}
        self._silences: dict[bytes, Silence] = {}

    def take_state(self, key: bytes, value: bytes) -> None:
        """Take one record of the state topic; an empty value deletes.

        Raises
        ------
        msgspec.DecodeError
            It is no notification or silence although its key says so.
        """
        if key.startswith(f"{DELIVERY}/".encode()):
            self._untold.pop(key, None)
            found = _delivery(value) if value else None
            if found is not None and found.state != "delivered" and (found.attempts or found.error):
                given_up = found.state == "given-up"
                self._untold[key] = _Untold(found.receiver, given_up, found.created_at, found.error)
            if len(self._untold) > MOST_KEPT:
                del self._untold[next(iter(self._untold))]
        elif key.startswith(f"{SILENCE}/".encode()):
            self._silences.pop(key, None)
            if value:
                self._silences[key] = _silence(value)

    @property
    def backlogs(self) -> dict[str, Backlog]:
        """By receiver: what it was sent and has not taken."""
        found: dict[str, Backlog] = defaultdict(Backlog)
        for one in self._untold.values():
            backlog = found[one.receiver]
            backlog.waiting += not one.given_up
            backlog.given_up += one.given_up
            backlog.since = min(backlog.since or one.created_at, one.created_at)
            backlog.error = one.error or backlog.error
        return dict(sorted(found.items()))

    def silences(self, now: int) -> list[Silence]:
        """Return the silences that are not over, the one that ends first before the others."""
        return sorted(
            (one for one in self._silences.values() if one.ends_at > now), key=lambda one: one.ends_at
        )
