"""A cold start: a baseline learnt from the first events, for a bundle that brings none.

While it is learnt, partitions send raw values instead of counts, since nobody can count into bins
that do not exist yet; they go on doing so for that version. The values wait in the merge topic, not
in the state: whoever merges reads them again after a restart. What was wrong in the first events is
taken for normal: package a baseline to do without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from shared.drift.baseline import Baseline
from shared.drift.channel import Kind
from shared.drift.cold_start import ColdStart
from shared.drift.second_opinion import SecondOpinion, slot_scores
from shared.drift.stream.group import GroupWatch
from shared.drift.stream.groups import group_kinds
from shared.drift.stream.ordering import ReadySlot
from shared.drift.stream.partials import Begin, Group
from shared.drift.stream.places import Places
from shared.drift.summary import CategoricalColumn, NumericColumn
from shared.messages import DriftChannel, DriftFigures, DriftOpinion

_TOP = 8
_LONGEST_NAME = 60


def encode_rows(times: Sequence[int], columns: Sequence[Sequence[Any]]) -> bytes:
    """Return the raw rows of one slot: event times, then one list per channel."""
    return msgspec.json.encode([list(times), *columns])


class Learner:
    """Collects the first rows of a group until they are enough for a baseline.

    Attributes
    ----------
    opinion
        Of ADWIN on the scores themselves, meanwhile; only of predictions.
    """

    def __init__(self, begin: Begin, group: Group) -> None:
        self._kinds = group_kinds(begin.features, group, classes=begin.classes)
        self._wanted = begin.learn
        self._segments = begin.segments if group == "features" else ()
        self._group: Group = group
        self.collected = 0
        self.latest = -1
        self._summaries = [
            NumericColumn() if kind == "numeric" else CategoricalColumn() for _, kind in self._kinds
        ]
        self._summarised = self._seen = 0
        self.opinion = SecondOpinion()
        self._places = Places(0, [])

    def seen(self, slots: list[ReadySlot]) -> bool:
        """Note how much waits; return whether that is news."""
        before, self.collected = self.collected, sum(slot.events for slot in slots)
        self.latest = max((slot.occurred for slot in slots), default=-1)
        for slot in slots[self._summarised :]:
            _, *columns = msgspec.json.decode(slot.rows)
            for summary, column in zip(self._summaries, columns, strict=True):
                summary.update(column)
            if self._group == "predictions":
                self._seen += slot.events
                self._places.add(self._seen, slot.occurred, slot.offset, slot.topic, slot.partition)
                self.opinion.update([slot_scores(columns[0])], [slot.events])
        self._summarised = len(slots)
        return self.collected != before

    def second_opinion(self) -> DriftOpinion | None:
        """Return what ADWIN says of the scores; None before it has seen one."""
        if not self.opinion.width:
            return None
        last = self.opinion.last_change
        return DriftOpinion(
            channel=self._kinds[0][0],
            width=self.opinion.width,
            changes=self.opinion.changes,
            last_change=None if last is None else self._places.at(last),
        )

    def complete(self, slots: list[ReadySlot]) -> bool:
        """Return whether these slots are enough."""
        return sum(slot.events for slot in slots) >= self._wanted

    def learn(self, slots: list[ReadySlot]) -> tuple[Baseline, int, ColdStart]:
        """Return the baseline of the first slots, how many they were, and what holds their rows."""
        kinds: dict[str, Kind] = dict(self._kinds)  # type: ignore[arg-type]
        cold = ColdStart(kinds, self._wanted, self._segments)
        used = 0
        while (baseline := cold.baseline()) is None:
            times, *columns = msgspec.json.decode(slots[used].rows)
            cold.add(dict(zip(kinds, columns, strict=True)), [time / 1000 for time in times])
            used += 1
        return baseline, used, cold

    def channels(self) -> Iterator[DriftChannel]:
        """Yield every channel, with what it waits for."""
        reason = f"a baseline is being learnt: {self.collected:,} of {self._wanted:,} events"
        for (name, kind), summary in zip(self._kinds, self._summaries, strict=True):
            figures = _figures(summary) if self.collected else None
            yield DriftChannel(name=name, kind=kind, source=self._group, reason=reason, figures=figures)


def _figures(summary: NumericColumn | CategoricalColumn) -> DriftFigures:
    """Return what River's statistics say of the values so far: there is nothing to compare them with yet."""
    if isinstance(summary, CategoricalColumn):
        events = summary.values + summary.missing
        top = tuple((name[:_LONGEST_NAME], count) for name, count in summary.top(_TOP))
        return DriftFigures(events=events, missing=round(summary.missing / max(events, 1), 5), top=top)
    found = summary.summary()
    events = found.values + found.missing
    return DriftFigures(
        events=events,
        missing=round(found.missing / max(events, 1), 5),
        mean=found.mean,
        sd=found.sd,
        quantiles=found.quantiles,
        histogram=found.histogram,
    )


def coded_slot(watch: GroupWatch, slot: ReadySlot) -> ReadySlot:
    """Return a slot of raw rows with its counts; one that has them is returned as it is."""
    if not slot.rows:
        return slot
    when, *columns = msgspec.json.decode(slot.rows)
    coder = watch.coder
    coded = coder.code(columns, np.array(when, np.int64), plain=False)
    counts = np.zeros((len(coder.channels), coder.columns), np.int64)
    for row, codes in zip(coder.rows, coded.codes, strict=True):
        counts[row] += np.bincount(codes, minlength=coder.columns)
    sums = np.stack([coded.numbers.sum(axis=1), (coded.numbers**2).sum(axis=1)], axis=1)
    unseen = tuple((channel, name) for _, channel, name in coded.unseen)
    codes = coded.codes[: len(coder.channels)].T.tobytes() if coder.located else b""
    return slot._replace(counts=counts, sums=sums, unseen=unseen, rows=b"", codes=codes)
