"""Drift reports as a person wants them: the newest of each version, and what came before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from services.cli.connection import Connection
from services.cli.report_reading import all_reports
from shared.errors import ServiceError
from shared.messages import DriftBudget, DriftChannel, DriftReport
from shared.reports import LatestReports

PIPELINE = "drift-counts"
"""Where the drift service's own reports come from; label given score is the performance service's."""


@dataclass(slots=True)
class Watched:
    """All that is known of one model version.

    Attributes
    ----------
    windows
        Its reports of features and predictions, one per window, in order.
    labels
        The same of label given score, whose windows are others; empty where nobody watches it.
    """

    model: str
    version: str
    windows: list[DriftReport] = field(default_factory=list)
    labels: list[DriftReport] = field(default_factory=list)

    @property
    def newest(self) -> DriftReport:
        """The report of the newest window."""
        return self.windows[-1]

    @property
    def channels(self) -> list[DriftChannel]:
        """Every channel as it is now; where the newest window has no event of it, its last figures."""
        labels = self.labels[-1].channels if self.labels else ()
        return [*(self._with_figures(channel) for channel in self.newest.channels), *labels]

    @property
    def alarming(self) -> int:
        """How many channels are in alarm."""
        return sum(channel.alarming for channel in self.channels)

    def budget(self, channel: DriftChannel) -> DriftBudget | None:
        """Return the budget in the events of a channel's own stream: labels come at another rate."""
        of_labels = channel.source == "labels" and self.labels
        return (self.labels[-1] if of_labels else self.newest).budget

    def _with_figures(self, channel: DriftChannel) -> DriftChannel:
        if channel.figures is not None:
            return channel
        for report in self.windows[-2::-1]:
            for former in report.channels:
                if former.name == channel.name and former.figures is not None:
                    return msgspec.structs.replace(
                        channel,
                        figures=former.figures,
                        bins=former.bins,
                        reference=former.reference,
                        current=former.current,
                    )
        return channel

    def channel(self, name: str) -> DriftChannel:
        """Return one channel.

        Raises
        ------
        ServiceError
            There is no such channel; the message names those there are.
        """
        for channel in self.channels:
            if channel.name == name:
                return channel
        names = ", ".join(channel.name for channel in self.channels)
        raise ServiceError(f"{self.model} {self.version} has no channel {name!r} (channels: {names})")

    def recent(self, channel: DriftChannel, events: int = 2_000) -> tuple[tuple[int, ...], int]:
        """Return a channel's bin counts over the last windows that have so many events, and how many windows.

        One window may have too few to compare shares by.
        """
        total, windows = [0] * len(channel.bins), 0
        for _, former in reversed(self.over_time(channel.name)):
            if len(former.current) != len(total) or sum(total) >= events:
                break
            total = [a + b for a, b in zip(total, former.current, strict=True)]
            windows += 1
        return tuple(total), windows

    def over_time(self, name: str) -> list[tuple[int, DriftChannel]]:
        """Return end of the window and channel of every window that has an event of it."""
        return [
            (report.window.end, channel)
            for report in (*self.windows, *self.labels)
            for channel in report.channels
            if channel.name == name and (channel.figures is not None or channel.source == "labels")
        ]


def by_version(reports: Iterable[DriftReport]) -> list[Watched]:
    """Return the reports by model version: active ones first, the most recently written in front."""
    found: dict[tuple[str, str], Watched] = {}
    for report in sorted(reports, key=lambda report: report.window.start):
        key = (report.model, report.model_version)
        watched = found.setdefault(key, Watched(*key))
        own = report.source_topic.endswith(PIPELINE)
        (watched.windows if own else watched.labels).append(report)
    for watched in found.values():
        if not watched.windows:  # only labels are watched
            watched.windows, watched.labels = watched.labels, []
    return sorted(found.values(), key=lambda one: (not one.newest.active, one.model, -one.newest.written_at))


def the_one(found: list[Watched]) -> Watched:
    """Return the version to look at: the most recently written of the one model there is.

    Raises
    ------
    ServiceError
        There are several models; the message names them.
    """
    models = sorted({one.model for one in found})
    if len(models) > 1:
        raise ServiceError(f"several models are watched ({', '.join(models)}): name one with --model")
    return found[0]


async def drift_reports(connection: Connection, model: str | None, version: str | None) -> list[Watched]:
    """Return what the reports topic says about drift.

    Raises
    ------
    ServiceError
        It says nothing, of this model or at all.
    """
    latest = LatestReports()
    async for report in all_reports(connection):
        if not isinstance(report, DriftReport):
            continue
        if model in (None, report.model) and version in (None, report.model_version):
            latest.take(report)
    found = by_version(latest)
    if not found:
        of = f" of {model}" if model else ""
        raise ServiceError(f"no report says anything about drift{of} yet: is `driftline run drift` running?")
    return found
