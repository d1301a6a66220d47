"""The last report is not lost by a kill, a rebalance or a failed commit, though no event comes any more."""

from __future__ import annotations

import random

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.drift.merge import MergeStep
from services.drift.metrics import DriftMetrics
from shared.drift.stream.partials import Partial, encode_partial
from shared.kafka.records import Records
from shared.messages import DriftReport
from shared.reports import LatestReports, decode_report
from shared.topics import TopicNames
from tests.unit.shared.drift.stream.streams import baseline, interleaved, partitions, told_by, watched

TOPIC = TopicNames("").drift_counts
EVENTS = 2_000


class Merging:
    """The second stage in one process after the other; what is committed outlives each."""

    def __init__(self, log: list[Partial]) -> None:
        self.now = 1_000_000
        self.latest = LatestReports()
        self.state: bytes | None = None
        self._log = log
        self.at = 0
        self.start()

    def start(self) -> None:
        """A process takes over what was committed, as the pipeline does it."""
        metrics = DriftMetrics(CollectorRegistry())
        self.step = MergeStep(TopicNames(""), metrics, clock=lambda: self.now, report_interval=1_000)
        if self.state is not None:
            self.at = min(self.at, self.step.resume_at(self.state))
        self.step.open(TOPIC, 0, self.at, self.state)

    def read(self, end: int) -> None:
        """Merge the log up to there, in one micro-batch, and commit."""
        part = self._log[self.at : end]
        values = [encode_partial(one) for one in part]
        offsets = list(range(self.at, end))
        size = len(part)
        records = Records(TOPIC, 0, self.at, end, offsets, [0] * size, [None] * size, values, [()] * size)
        work = self.step.decode([records])
        self._commit(self.step.encode(work, 0))
        self.at = end

    def flush(self) -> None:
        """Time goes by without a record."""
        self.now += 2_000
        self._commit(self.step.flush(TOPIC, 0, leaving=False))

    def _commit(self, outputs: list) -> None:  # type: ignore[type-arg]
        self.state = self.step.snapshot(TOPIC, 0)
        for output in outputs:
            for value in output.values:
                self.latest.take(decode_report(bytes(value)))

    @property
    def reported(self) -> int:
        """Events in the newest reports of all windows, as a reader has them."""
        return sum(report.events for report in self.latest if isinstance(report, DriftReport))


@pytest.fixture(scope="module")
def log() -> list[Partial]:
    """What three partitions tell, at last of idle clocks alone; slots wait for them in the merge topic."""
    rng = random.Random(3)
    told = told_by(watched(baseline()), partitions(EVENTS, shift_at=1.0), rng)
    idle = [msgspec.structs.replace(mine[-1], times=(), begin=None) for mine in told]
    return interleaved(told, rng) + idle


@pytest.mark.parametrize("seed", range(5))
def test_whoever_takes_over_reports_what_was_counted_though_nothing_more_comes(
    log: list[Partial], seed: int
) -> None:
    rng = random.Random(seed)
    merging = Merging(log)
    while merging.at < len(log) - 3:
        merging.read(min(len(log) - 3, merging.at + rng.choice([1, 3, 10])))
        if rng.random() < 0.3:
            merging.flush()
        if rng.random() < 0.2:
            merging.start()
            if rng.random() < 0.5:
                merging.flush()  # before what waited was read again
    merging.read(len(log))
    assert merging.reported < EVENTS, "a report was due at the very end: this shows nothing"
    merging.start()  # killed after the commit, before the report
    merging.flush()
    assert merging.reported == EVENTS


def test_a_report_after_a_takeover_is_not_older_than_the_one_before(log: list[Partial]) -> None:
    merging = Merging(log)
    while not merging.reported:
        merging.read(merging.at + 1)
        merging.flush()
    end = merging.at
    before = {report.window.start: report.next_offset for report in merging.latest}
    merging.start()
    assert merging.at < end, "nothing waited: this shows nothing"
    merging.flush()
    after = {report.window.start: report for report in merging.latest}
    assert all(after[start].next_offset >= offset for start, offset in before.items())
    assert all(after[start].written_at == merging.now for start in before)


def test_records_that_are_no_events_are_reported_though_no_event_comes(log: list[Partial]) -> None:
    merging = Merging(log)
    merging.read(len(log))
    merging.flush()
    last = next(one for one in reversed(log) if one.group == "features")
    merging._log = [*log, msgspec.structs.replace(last, times=(), skipped={"not an event": 7}, begin=None)]
    merging.read(len(log) + 1)
    merging.flush()
    newest = max(merging.latest, key=lambda report: report.window.start)
    assert newest.skipped == {"not an event": 7}
