"""Everything the view shows and the verdict judges, in one place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from devstack.demo.aftermath import Aftermath
from devstack.demo.alerts import AlertLedger
from devstack.demo.drift import DriftBook
from devstack.demo.ledger import Ledger
from devstack.demo.look import Lookout, Sight
from devstack.demo.model import FlightModel
from devstack.demo.options import FIRST_DAY, Options
from devstack.demo.quality import QualityBook
from devstack.demo.replay import Replay
from devstack.demo.services import Service
from devstack.demo.shadow_book import ShadowBook
from devstack.demo.stack import Servers
from devstack.part import Part
from shared.registry import RedisRegistry

Clock = Callable[[], float]


@dataclass(slots=True)
class Run:
    """One demo while it runs.

    Attributes
    ----------
    folder
        Where the logs are.
    began_at
        When the command began, on ``clock``.
    aftermath
        What has been told of the flights later.
    quality
        What the performance service says of the versions.
    drift
        What the drift service has reported.
    shadow
        What the shadow and the gates say of the versions.
    challengers
        The newer versions that appear in the shadow.
    champion
        What the registry says, None before the first look or while Redis is away.
    replay_began_at, replay_ended_at
        When the first event was due, and when the last one was on the broker.
    process_ended
        Set when a server or service is gone that nobody stopped.
    problems
        What went wrong, a sentence each.
    """

    options: Options
    folder: Path
    model: FlightModel
    servers: Servers
    services: list[Service]
    lookout: Lookout
    registry: RedisRegistry
    ledger: Ledger
    replay: Replay
    clock: Clock
    began_at: float
    aftermath: Aftermath | None = None
    quality: QualityBook = field(default_factory=QualityBook)
    alerts: AlertLedger = field(default_factory=AlertLedger)
    drift: DriftBook = field(default_factory=DriftBook)
    shadow: ShadowBook = field(default_factory=ShadowBook)
    challengers: list[FlightModel] = field(default_factory=list)
    champion: str | None = None
    replay_began_at: float | None = None
    replay_ended_at: float | None = None
    process_ended: asyncio.Event = field(default_factory=asyncio.Event)
    problems: list[str] = field(default_factory=list)

    @property
    def sights(self) -> dict[str, Sight]:
        """What was last seen of every service, by name."""
        return self.lookout.sights

    @property
    def elapsed(self) -> float:
        """Seconds that the replay has taken so far, or took."""
        if self.replay_began_at is None:
            return 0.0
        return (self.replay_ended_at or self.clock()) - self.replay_began_at

    @property
    def events(self) -> int:
        """Records sent, good and bad."""
        return self.ledger.good + sum(self.ledger.bad.values())

    @property
    def labels_unjoined(self) -> int:
        """Labels sent that no report counts yet."""
        sent = self.aftermath.labels_sent if self.aftermath is not None else 0
        return sent - self.quality.labels_joined

    @property
    def begins_as_told(self) -> bool:
        """Whether the replay begins where the demo's story is known to be true."""
        return self.options.begin == FIRST_DAY

    def challenger(self, name: str) -> str | None:
        """Return the whole version of a newer model, by the name of its recipe."""
        return next((m.version for m in self.challengers if m.version.startswith(f"{name}-")), None)

    @property
    def first_prediction_seconds(self) -> float | None:
        """Seconds from the command to the first visible prediction."""
        first = self.ledger.first_prediction_at
        return None if first is None else first - self.began_at

    def ended_part(self) -> Part | None:
        """Return a process that is gone although nobody stopped it."""
        processes = [*self.servers.parts, *(service.part for service in self.services)]
        return next((part for part in processes if not part.running), None)
