"""What the inference processes say of a version that they are to answer with and cannot load."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from shared.messages import ServiceReport

SERVICE: Final = "inference"
MISSED: Final = 3
"""A process that has missed so many reports is gone, and says nothing any more."""

MOST_PROCESSES: Final = 1_000
"""So many are remembered, the gone ones among them."""


class NotLoaded(NamedTuple):
    """A version that a serving process cannot load.

    Attributes
    ----------
    why
        In the process's words.
    seconds
        For how long it has said so without a break, by its own clock.
    instance
        Host and process.
    """

    why: str
    seconds: float
    instance: str


class CanaryNow(NamedTuple):
    """A candidate that is to answer a share of the traffic.

    Attributes
    ----------
    not_loaded
        Why it does not, where an inference process cannot load it.
    """

    percent: float
    not_loaded: NotLoaded | None = None


@dataclass(slots=True)
class _Process:
    written_at: int = 0
    interval: int = 0
    since: dict[tuple[str, str], int] = field(default_factory=dict)
    why: dict[tuple[str, str], str] = field(default_factory=dict)


class Serving:
    """The newest report of every inference process, in whatever order and repetition they come.

    A broker that is away lets no report through: what comes after it begins the count anew, so that an
    outage is not held against a version.

    Examples
    --------
    >>> def said(at, **missing):
    ...     not_loaded = {"flights": missing} if missing else {}
    ...     return ServiceReport(service="inference", instance="box:1", version="1", started_at=0,
    ...                          written_at=at, interval=5_000, not_loaded=not_loaded)
    >>> serving = Serving()
    >>> for at in (10_000, 15_000, 20_000):
    ...     serving.take(said(at, v2="no such operator"))
    >>> serving.not_loaded("flights", "v2")
    NotLoaded(why='no such operator', seconds=10.0, instance='box:1')
    >>> serving.take(said(25_000))
    >>> serving.not_loaded("flights", "v2") is None
    True
    """

    def __init__(self) -> None:
        self._processes: dict[str, _Process] = {}

    def take(self, report: ServiceReport) -> None:
        """Take note of a report; those of other services say nothing here."""
        if report.service != SERVICE:
            return
        if report.stopping:
            self._processes.pop(report.instance, None)
            return
        process = self._processes.setdefault(report.instance, _Process())
        if report.written_at <= process.written_at:
            return
        silent = report.written_at - process.written_at > MISSED * process.interval
        former = {} if silent else process.since
        found = {(m, v): why for m, versions in report.not_loaded.items() for v, why in versions.items()}
        process.since = {key: former.get(key, report.written_at) for key in found}
        process.why, process.written_at, process.interval = found, report.written_at, report.interval
        if len(self._processes) > MOST_PROCESSES:
            del self._processes[min(self._processes, key=lambda one: self._processes[one].written_at)]

    def not_loaded(self, model: str, version: str) -> NotLoaded | None:
        """Return who has failed to load a version for longest; None where nobody says so."""
        key, now = (model, version), max((p.written_at for p in self._processes.values()), default=0)
        found = [
            NotLoaded(p.why[key], (p.written_at - p.since[key]) / 1000, instance)
            for instance, p in self._processes.items()
            if key in p.why and now - p.written_at <= MISSED * p.interval
        ]
        return max(found, key=lambda one: (one.seconds, one.instance), default=None)
