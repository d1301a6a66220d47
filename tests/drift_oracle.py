"""What the drift service must arrive at, computed in one piece from the raw records of a topic.

Written from the rules in docs/drift-service.md and not from the code: plain loops over single slots.
Only ``SlotCounter`` and ``Detector`` of ``shared.drift`` are used, which have tests of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shared.drift import Alarm, Baseline, Detector, SlotCounter, channel_bets
from shared.drift.slots import Slots
from shared.drift.stream.budget import Rate

CELL = 10_000


@dataclass
class Row:
    """One event or prediction: the record's timestamp, its event time, and its values by channel."""

    timestamp: int
    occurred: int
    values: dict[str, Any]


@dataclass
class Answer:
    """The detector after the last row, and every alarm it raised."""

    detector: Detector
    alarms: list[Alarm] = field(default_factory=list)


@dataclass
class _Slot:
    time: int
    partition: int
    number: int
    rows: list[Row]


def slots_of(partition: int, rows: Sequence[Row]) -> list[_Slot]:
    """A partition's slots: 16 rows, or those up to the end of ten seconds of its clock."""
    made: list[_Slot] = []
    held: list[Row] = []
    clock = -1

    def close(time: int) -> None:
        made.append(_Slot(time, partition, len(made), list(held)))
        held.clear()

    for row in rows:
        before, clock = clock, max(clock, row.timestamp)
        if held and clock // CELL != before // CELL:
            close((before // CELL + 1) * CELL)
        held.append(row)
        if len(held) == 16:
            close(clock)
    if held:
        close((clock // CELL + 1) * CELL)
    return made


def _in_order(partitions: Sequence[Sequence[Row]]) -> list[_Slot]:
    slots = [slot for number, rows in enumerate(partitions) for slot in slots_of(number, rows)]
    return sorted(slots, key=lambda slot: (slot.time, slot.partition, slot.number))


def settled_rows(partitions: Sequence[Sequence[Row]]) -> int:
    """How many rows must have had their turn: a partition's clock is told with its complete slots."""
    clocks = []
    for number, rows in enumerate(partitions):
        made = slots_of(number, rows)
        complete = made if made and len(made[-1].rows) == 16 else made[:-1]
        clocks.append(complete[-1].time if complete else -1)
    return sum(len(slot.rows) for slot in _in_order(partitions) if slot.time < min(clocks, default=-1))


def answer(
    partitions: Sequence[Sequence[Row]],
    baseline: Baseline,
    *,
    of: int,
    declared: float | None = None,
    false_alarms: float = 1.0,
    rows: int | None = None,
) -> Answer:
    """The detector over all partitions' rows, or the first ``rows`` in their order.

    ``of`` channels of the model share the budget.
    """
    slots = _in_order(partitions)
    if rows is not None:
        totals = np.cumsum([len(slot.rows) for slot in slots]).tolist()
        assert rows in totals, f"{rows} rows are no whole number of slots, or more than there are"
        slots = slots[: totals.index(rows) + 1]
    channels = baseline.calibrated
    names = [channel.name for channel in baseline.channels]
    counter = SlotCounter(baseline)
    fresh = counter.snapshot()

    def between(rate: Rate) -> float:
        assert rate.per_30_days is not None
        return max(rate.per_30_days / false_alarms, 1.0) * of / len(channels)

    rate = Rate(declared=declared)
    made: Answer | None = None
    early: list[Slots] = []
    for slot in slots:
        columns = {name: [row.values.get(name) for row in slot.rows] for name in names}
        counter.restore(fresh)
        whole = counter.add(columns, [row.occurred / 1000 for row in slot.rows])
        counts = whole.counts if len(whole) else counter._slots.pending[None]
        early.append(Slots(counts, np.array([len(slot.rows)])))
        middle = sorted(row.occurred for row in slot.rows)[(len(slot.rows) - 1) // 2]
        changed = rate.take(middle, len(slot.rows))
        if rate.per_30_days is None:
            continue
        if made is None:
            bets = [channel_bets(channel) for channel in channels]
            made, changed = Answer(Detector(bets, between(rate), baseline.fingerprint())), False
        for one in early:
            made.alarms += made.detector.update(one)
        early.clear()
        if changed:
            made.detector = made.detector.with_budget(between(rate))
    assert made is not None, "too few events to tell their rate"
    return made
