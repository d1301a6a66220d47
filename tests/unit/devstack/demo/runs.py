"""A run as it stands at its end, without processes: for the view and the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from devstack.demo.events import Outgoing
from devstack.demo.ledger import Ledger
from devstack.demo.look import Lookout
from devstack.demo.model import FlightModel
from devstack.demo.options import Options
from devstack.demo.services import SERVICES, Service
from devstack.demo.stack import Servers
from devstack.demo.state import Run


class StillPart:
    """A process that is running, or is not."""

    def __init__(self, name: str, running: bool = True) -> None:
        self.name, self.running = name, running


def finished_run(options: Options | None = None, *, good: int = 8, bad: int = 1) -> Run:
    """Return a run in which all is well: every event answered within 10 ms, in 4 s."""
    ledger = Ledger()
    for number in range(good):
        ledger.sent(Outgoing(b"N1", b"%d" % number, f"2013-02-01-UA{number}-EWR"), 1.0)
        ledger.predicted(f"2013-02-01-UA{number}-EWR", "v1", "on_time", 1.010)
    for number in range(bad):
        ledger.sent(Outgoing(b"N1", b"{%d" % number, None, "JSON cut off"), 1.0)
        ledger.dead_lettered(b"{%d" % number, "not JSON")
    inference: Any = StillPart("inference")
    tansu: Any = StillPart("Tansu")
    services = [Service(SERVICES[0], inference, 8080)]
    lookout = Lookout(services, lambda: 9.0)
    lookout.sights["inference"].state = "ready"
    unused: Any = None
    return Run(
        options=options or Options(seconds=60),
        folder=Path("logs"),
        model=FlightModel(Path("bundle"), "v1", {1: 0.9}, fresh=False),
        servers=Servers("Tansu", "127.0.0.1:9092", "redis://127.0.0.1:6379/0", {}, [tansu]),
        services=services,
        lookout=lookout,
        registry=unused,
        ledger=ledger,
        replay=unused,
        clock=lambda: 9.0,
        began_at=0.0,
        champion="v1",
        replay_began_at=1.0,
        replay_ended_at=5.0,
    )
