"""The detectors over the past of a topic, in one process and without a broker to write to."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from shared.drift.stream.counting import SourcePartition, countable
from shared.drift.stream.merging import Merger
from shared.drift.stream.partials import Group, Partial
from shared.drift.stream.stamps import believable
from shared.drift.stream.version import VersionWatch
from shared.drift.stream.watched import Watched
from shared.kafka.records import Records
from shared.messages import DriftReport

_FOREVER = 1 << 62


class OfflineDrift:
    """What the drift service would have said of some records of the events topic.

    It counts and merges as the service does, so the same records give the same alarms. Evidence starts
    from nothing, and predictions take no part.

    Parameters
    ----------
    watched
        The version to watch.
    partitions
        Number of partitions of the topic.
    topic
        Its name.
    now
        Epoch milliseconds: no record was written later; None takes every timestamp as it is.
    alone
        Whether events that name no model are this one's, as they are for the service while it watches only
        one.
    """

    def __init__(
        self, watched: Watched, partitions: int, topic: str, *, now: int | None = None, alone: bool = True
    ) -> None:
        self._watched = watched
        self._alone = alone
        self._now = _FOREVER if now is None else now
        self._group: Group = "features"
        self._merger = Merger(topic, 0)
        self._sources = [SourcePartition(self._group, topic, p, partitions) for p in range(partitions)]
        self._told = 0
        self._latest = 0
        self._reports: dict[int, DriftReport] = {}
        for source in self._sources:
            self._merge(source.settle([watched], None))

    @property
    def version(self) -> VersionWatch:
        """What is known of the version by now."""
        return self._merger.models[self._watched.model].versions[self._watched.version]

    def add(self, records: Records) -> None:
        """Take consecutive records of one partition; none may be older than what was taken before."""
        if not len(records):
            return
        stamps = believable(records.timestamps, self._now)
        self._latest = max(self._latest, int(stamps.clock.max()))
        rows = self._watched.reader.read(records.values, stamps.latest, alone=self._alone)
        part = countable(self._watched, self._group, rows.kept, rows)
        source = self._sources[records.partition]
        skipped = {self._watched.model: dict(rows.reasons)} if rows.skipped else {}
        self._merge(
            source.count(
                [part],
                skipped,
                offsets=np.array(records.offsets, np.int64),
                timestamps=stamps.clock,
            )
        )

    def finish(self) -> Sequence[DriftReport]:
        """Return the report of every window, in order; nothing can be added any more."""
        for source in self._sources:
            self._merge(source.settle([self._watched], _FOREVER))
        self._collect()
        return [self._reports[start] for start in sorted(self._reports)]

    def _merge(self, told: Sequence[Partial]) -> None:
        numbered = [(self._told + number, partial) for number, partial in enumerate(told)]
        self._told += len(numbered)
        self._merger.take(iter(numbered), self._told)
        self._collect()

    def _collect(self) -> None:
        for report in self._merger.reports(self._latest):
            mine = tuple(channel for channel in report.channels if channel.source == self._group)
            self._reports[report.window.start] = msgspec.structs.replace(report, channels=mine)
