"""A join without Kafka: packets in, sums out, with crashes and replays where a test wants them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from services.performance.cells import WindowCells, unpack
from services.performance.checkpoints import Base, decode_base
from services.performance.facts import Facts
from services.performance.packets import Answered, Followed, Known, Packet
from services.performance.partition import PartitionJoin
from services.performance.reports import report_of
from services.performance.store import EventStore
from shared.bundle.truth import KpiSpec
from shared.messages import Labelled, PerformanceReport

HOUR = 3_600_000
START = 400_000 * HOUR
SOURCES = ("predictions/0", "labels/0")


def binary(version: str = "1", **changes: Any) -> Facts:
    """Facts of a binary model with windows of an hour and a horizon of four."""
    fields: dict[str, Any] = {
        "model": "m", "version": version, "task": "binary", "classes": ("no", "yes"), "horizon": 4 * HOUR,
        "window": HOUR, "segments": ("carrier",), "kpis": (KpiSpec(name="cost", value="-5 * fp - 20 * fn"),),
    }  # fmt: skip
    return Facts(**(fields | changes))


def answered(event_id: str, score: float, at: int, *, version: str = "1", **extra: Any) -> Answered:
    label = extra.pop("label", "yes" if score >= 0.5 else "no")
    carrier = extra.pop("carrier", None)
    return Answered(
        event_id, "m", version, score, at, at + 5, "events", 0, extra.pop("offset", 0), label,
        segments={"carrier": carrier} if carrier else None, **extra,
    )  # fmt: skip


OPEN: list[Harness] = []
"""Every harness of the test that runs: its files are closed after it."""


class Log:
    """A log that is written once and may be read again."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []

    def answers(self, answers: Sequence[Answered], *, idle: bool = False) -> None:
        high = max((a.occurred_at for a in answers), default=-1)
        self.packets.append(Packet(SOURCES[0], high, idle, answers=list(answers)))

    def labels(self, labels: Sequence[Known], *, idle: bool = False) -> None:
        high = max((known.observed_at for known in labels), default=-1)
        self.packets.append(Packet(SOURCES[1], high, idle, labels=list(labels)))

    def outcomes(self, outcomes: Sequence[Followed]) -> None:
        self.packets.append(Packet("outcomes/0", -1, outcomes=list(outcomes)))

    def time(self, to: int) -> None:
        """Let event time pass everywhere."""
        for source in SOURCES:
            self.packets.append(Packet(source, to))


class Harness:
    """One partition's join over a log, which can be killed at any offset.

    Checkpoints are committed as they would be in Kafka; the store sees one only with the next packet.
    A packet is written every millisecond: the grace is counted in packets.
    """

    def __init__(self, folder: Path, log: Log, *facts: Facts, grace: int = 0) -> None:
        self.folder, self.log, self.grace = folder, log, grace
        self.facts = {(f.model, f.version): f for f in facts}
        self.offset = 0
        self.state: dict[bytes, bytes | None] = {}
        self.labelled: list[Labelled] = []
        self.final: list[PerformanceReport] = []
        self.matured: dict[tuple[str, str], list[tuple[str, int, int]]] = {}
        self.join = self._start()
        OPEN.append(self)

    def _facts_of(self, model: str, version: str) -> Facts:
        return self.facts[model, version]

    def _start(self) -> PartitionJoin:
        raw = self.state.get(b"p/base")
        base = decode_base(raw) if raw is not None else Base("life", 0, grace=self.grace)
        windows = [
            unpack(value, self.facts)
            for key, value in self.state.items()
            if key != b"p/base" and value is not None
        ]
        store = EventStore(self.folder / "p", base.lineage)
        begin = max(store.offset, min(base.oldest.values(), default=base.offset))
        if begin < base.offset:
            blank = PartitionJoin(self._facts_of, (), Base(base.lineage, begin), (), store)
            for offset in range(begin, base.offset):
                blank.apply(self.log.packets[offset], offset, offset)
                blank.take_said()
            blank.end_as(base)
            blank.save(base.offset)
        join = PartitionJoin(self._facts_of, SOURCES, base, windows, store, grace=self.grace)
        for offset in range(base.offset, self.offset):
            join.apply(self.log.packets[offset], offset, offset)
            join.take_said()
        return join

    def run(
        self, until: int | None = None, *, batch: int = 3, checkpoint: float = 0.4, seed: int = 0
    ) -> None:
        """Read on, in batches, with a checkpoint after some of them."""
        rng = random.Random(seed)
        end = len(self.log.packets) if until is None else until
        while self.offset < end:
            self.join.confirm()
            upper = min(end, self.offset + rng.randint(1, batch))
            for offset in range(self.offset, upper):
                self.join.apply(self.log.packets[offset], offset, offset)
            self.offset = upper
            said = self.join.take_said()
            self.labelled += [msgspec.json.decode(told, type=Labelled) for _, told in said.labelled]
            if said.outcomes:
                self.log.packets.append(Packet("log/0", -1, outcomes=said.outcomes))
                end += until is None
            self.final += [self.report(window, final=True) for window in said.final]
            for version, rows in said.matured.items():
                self.matured.setdefault(version, []).extend(rows)
            if rng.random() < checkpoint:
                self.state |= dict(zip(*self.join.checkpoint(self.offset, "p"), strict=True))

    def kill(self, *, lose_disk: bool = False) -> None:
        """End the process without a word, and start another."""
        self.join.store.close()
        if lose_disk:
            self.folder = self.folder / "new"
        self.join = self._start()

    def report(self, window: WindowCells, *, final: bool = False) -> PerformanceReport:
        return report_of(window, topic="log", partition=0, next_offset=0, now=0, final=final, orphans=0)

    def reports(self) -> list[PerformanceReport]:
        """Final and open windows, by version and start."""
        self.join.settle()
        every = [*self.final, *map(self.report, self.join.windows.values())]
        return sorted(every, key=lambda report: (report.model_version, report.window.start))

    def windows(self, version: str = "1") -> Iterable[PerformanceReport]:
        return [report for report in self.reports() if report.model_version == version]
