"""One model version, watched from its first counted event: both groups, and the reports about them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from shared.bundle.spec import Seasonality
from shared.drift.baseline import Baseline, decode_baseline
from shared.drift.channel import Kind
from shared.drift.rhythm import unseen_rhythm, without_rhythm
from shared.drift.stream.budget import Rate
from shared.drift.stream.group import GroupSettings, GroupWatch
from shared.drift.stream.groups import group_baseline, group_kinds, shared_channels
from shared.drift.stream.learning import Learner, coded_slot
from shared.drift.stream.long_learning import LongLearner
from shared.drift.stream.ordering import ReadySlot, SlotOrder, SourceKey
from shared.drift.stream.partials import GROUPS, Begin, Group, Partial
from shared.drift.stream.reporting import channels_of, opinion_of
from shared.logs import get_logger
from shared.messages import DriftBudget, DriftChannel, DriftOpinion, DriftReport, Window

log = get_logger(__name__)

_encode: Final = msgspec.msgpack.Encoder().encode

MOST_WINDOW_BYTES: Final = 2 << 20
"""Of windows kept for a group that has fallen behind the other; older ones are reported as they are."""


class VersionState(msgspec.Struct, frozen=True, array_like=True):
    """A version's watch as it is kept between processes."""

    begin: Begin
    taken: dict[Group, list[tuple[str, int, int]]]
    unordered: dict[Group, int]
    groups: dict[Group, msgspec.Raw]
    learnt: dict[Group, bytes]
    skipped: list[tuple[str, int, dict[str, int]]]
    longer: dict[Group, bytes] = {}


class VersionWatch:
    """What is known of one version.

    Parameters
    ----------
    model, version
        Its name.
    begin
        What it is, from the first partial about it.
    """

    def __init__(self, model: str, version: str, begin: Begin) -> None:
        self.model, self.version, self.begin = model, version, begin
        baseline = decode_baseline(begin.baseline) if begin.baseline else None
        self._of = shared_channels(begin.features, baseline, classes=begin.classes)
        self.orders: dict[Group, SlotOrder] = {}
        self._groups: dict[Group, GroupWatch] = {}
        self._learners: dict[Group, Learner] = {}
        self._learnt: dict[Group, bytes] = {}
        self._longer: dict[Group, LongLearner] = {}
        """Of the groups whose baseline cannot show yet what rhythm their events have."""
        self._skipped: dict[SourceKey, dict[str, int]] = {}
        self.dirty = False
        self._news = False
        """Whether there is news beside what is counted in the windows: the newest one tells it."""
        for group in GROUPS:
            known = group_baseline(baseline, group)
            if known is not None:
                self._watch(group, known)
            else:
                self._learners[group] = Learner(begin, group)
                self.orders[group] = SlotOrder(0, 0)

    def _watch(self, group: Group, baseline: Baseline) -> GroupWatch:
        begin = self.begin
        settings = GroupSettings(
            begin.window,
            begin.false_alarms_per_30_days,
            begin.events_per_30_days,
            self._of,
            second_opinion=group == "predictions",
        )
        watch = self._groups[group] = GroupWatch(baseline, settings)
        if group not in self.orders:
            self.orders[group] = SlotOrder(len(watch.coder.channels), len(watch.coder.numeric))
        return watch

    def watch(self, group: Group) -> GroupWatch | None:
        """Return a group's watch, None as long as its baseline is being learnt."""
        return self._groups.get(group)

    def is_another(self, begin: Begin) -> bool:
        """Return whether a version of this name has other channels or another baseline than this one."""
        return (begin.baseline, begin.features) != (self.begin.baseline, self.begin.features)

    def offer(self, partial: Partial, arrived: int) -> None:
        """Let a partial's slots wait for their turn; those counted for another baseline are left out."""
        order = self.orders[partial.group]
        try:
            order.offer(partial, arrived)
        except ValueError:
            order.unordered += len(partial.times)
        source = (partial.topic, partial.partition)
        if partial.skipped != self._skipped.get(source, {}):
            self._skipped[source] = partial.skipped
            self.dirty = self._news = True

    def advance(self, group: Group, clock: int) -> bool:
        """Take the slots whose turn has come; return whether an alarm was raised.

        Parameters
        ----------
        clock
            The earliest clock of the group's partitions.
        """
        order = self.orders[group]
        slots = order.ready(clock)
        if not slots:
            return False
        learner = self._learners.get(group)
        if learner is not None:
            news = learner.seen(slots)  # whether or not there is news already
            self.dirty = self.dirty or news
            if not learner.complete(slots):
                return False  # they wait on, and are read again by whoever comes after us
            used = self._learn(group, learner, slots)
            order.release(slots[:used])
            slots = slots[used:]
        self.dirty = True
        taken, alarmed = self._take(group, slots)
        order.release(slots[:taken])
        return alarmed

    def _learn(self, group: Group, learner: Learner, slots: list[ReadySlot]) -> int:
        """Watch a group with the baseline of its first slots; return how many they were."""
        baseline, used, first = learner.learn(slots)
        del self._learners[group]
        unseen = unseen_rhythm(self.begin.seasonality, first.span)
        if unseen is not None:
            longer = LongLearner(*self._to_learn(group), baseline, first.effects(baseline))
            longer.add(slots[:used])
            self._longer[group] = longer
            baseline = without_rhythm(baseline, unseen)
        self._learnt[group] = baseline.encode()
        rate = Rate(declared=self.begin.events_per_30_days)
        for slot in slots[:used]:
            rate.take(slot.occurred, slot.events)
        self._watch(group, baseline).begin_with(rate)
        return used

    def _to_learn(self, group: Group) -> tuple[dict[str, Kind], Seasonality, tuple[str, ...]]:
        kinds = dict(group_kinds(self.begin.features, group, classes=self.begin.classes))
        segments = self.begin.segments if group == "features" else ()
        return kinds, self.begin.seasonality, segments  # type: ignore[return-value]

    def _take(self, group: Group, slots: list[ReadySlot]) -> tuple[int, bool]:
        """Return how many slots were taken, and whether an alarm was raised."""
        taken, alarmed = 0, False
        while taken < len(slots):
            watch, longer = self._groups[group], self._longer.get(group)
            most = len(slots) - taken
            some = slots[taken : taken + (most if longer is None else longer.until_looked(most))]
            if not watch.take([coded_slot(watch, slot) for slot in some]):
                break
            taken += len(some)
            alarmed = alarmed or bool(watch.alarms)
            watch.alarms.clear()
            if longer is not None and longer.add(some):
                self._end_learning(group, longer.baseline(), watch.rate)
        return taken, alarmed

    def _end_learning(self, group: Group, baseline: Baseline, rate: Rate) -> None:
        """Watch a group with a baseline that shows its rhythm; what was counted for the former one goes."""
        del self._longer[group]
        self._learnt[group] = baseline.encode()
        self._watch(group, baseline).begin_with(rate)
        log.info("baseline learnt", model=self.model, model_version=self.version, group=group)

    def reports(
        self, source_topic: str, partition: int, next_offset: int, now: int, *, active: bool
    ) -> Iterator[DriftReport]:
        """Yield a report per window that changed since the last call; windows that are over go.

        Parameters
        ----------
        source_topic, partition, next_offset
            Where the merged counts were read, and how far.
        now
            Epoch milliseconds.
        """
        self.dirty = False
        starts = sorted({start for watch in self._groups.values() for start in watch.windows.open})
        changed = set().union(*(watch.changed for watch in self._groups.values())) if self._groups else set()
        if self._news and starts:
            changed, self._news = {*changed, starts[-1]}, False
        if not starts and self._learners:
            yield from self._learning(source_topic, partition, next_offset, now, active=active)
        for number, start in enumerate(starts):
            final = self._over(start) or number < len(starts) - self._most_windows()
            if final or start in changed:
                yield self._report(
                    source_topic, partition, next_offset, now, start, final=final, active=active
                )
            if final:
                for watch in self._groups.values():
                    watch.windows.open.pop(start, None)
        for watch in self._groups.values():
            watch.changed.clear()

    def _most_windows(self) -> int:
        size = sum(len(w.coder.channels) * (w.coder.columns + 4) * 8 for w in self._groups.values())
        return min(max(MOST_WINDOW_BYTES // max(size, 1), 4), 64)

    def _over(self, start: int) -> bool:
        """Return whether no group that has begun can still count in a window."""
        begun = [watch for watch in self._groups.values() if watch.windows.watermark >= 0]
        return all(watch.windows.is_closed(start) for watch in begun)

    def _report(
        self, topic: str, partition: int, next_offset: int, now: int, start: int, *, final: bool, active: bool
    ) -> DriftReport:
        events: dict[Group, int] = {}
        channels: list[DriftChannel] = []
        late = first = 0
        features = self._groups.get("features")
        trained = None if features is None else features.baseline
        for group in GROUPS:
            watch = self._groups.get(group)
            if watch is None:
                channels += self._learners[group].channels()
                continue
            window = watch.windows.open.get(start)
            channels += self._told(group, channels_of(group, watch, window))
            if window is not None:
                events[group] = window.events
                late += window.late
                first = window.first
        return DriftReport(
            model=self.model,
            model_version=self.version,
            window=Window(start=start, end=start + self.begin.window),
            source_topic=topic,
            partition=partition,
            first_offset=first,
            next_offset=next_offset,
            written_at=now,
            final=final,
            events=events.get("features", 0),
            predictions=events.get("predictions", 0),
            skipped=self._all_skipped(),
            late=late,
            baseline=self._origin(),
            baseline_rows=self._rows(),
            baseline_span=self._span(),
            ordered=trained is None or trained.ordered,
            budget=self._budget(),
            active=active,
            unordered=sum(order.unordered for order in self.orders.values()),
            second_opinion=self._opinion(),
            channels=tuple(channels),
        )

    def _told(self, group: Group, channels: Iterator[DriftChannel]) -> Iterator[DriftChannel]:
        """Yield channels, those that wait for a baseline with how far it has come."""
        longer = self._longer.get(group)
        for channel in channels:
            yield channel if longer is None else msgspec.structs.replace(channel, reason=longer.reason)

    def _opinion(self) -> DriftOpinion | None:
        learner = self._learners.get("predictions")
        return opinion_of(self._groups.get("predictions")) if learner is None else learner.second_opinion()

    def _learning(
        self, topic: str, partition: int, next_offset: int, now: int, *, active: bool
    ) -> Iterator[DriftReport]:
        latest = max((learner.latest for learner in self._learners.values()), default=-1)
        if latest >= 0:
            start = latest - latest % self.begin.window
            yield self._report(topic, partition, next_offset, now, start, final=False, active=active)

    def _origin(self) -> Literal["bundle", "learning", "learnt"]:
        if self._learners or self._longer:
            return "learning"
        return "learnt" if self._learnt else "bundle"

    def _rows(self) -> int:
        learner = self._learners.get("features")
        if learner is not None:
            return learner.collected
        longer = self._longer.get("features")
        if longer is not None:
            return longer.events
        return max((channel.rows for channel in self._groups["features"].channels), default=0)

    def _span(self) -> int:
        longer, watch = self._longer.get("features"), self._groups.get("features")
        if longer is not None:
            return round(1_000 * longer.span)
        return 0 if watch is None else round(1_000 * watch.baseline.span)

    def _all_skipped(self) -> dict[str, int]:
        total: Counter[str] = Counter()
        for reasons in self._skipped.values():
            total.update(reasons)
        return dict(sorted(total.items()))

    def _budget(self) -> DriftBudget | None:
        watch = self._groups.get("features")
        between = watch.events_between_false_alarms if watch is not None else None
        if watch is None or between is None:
            return None
        floors = [c.smallest_shift for w in self._groups.values() for c in w.channels if c.calibrated]
        rate = watch.rate
        return DriftBudget(
            false_alarms_per_30_days=self.begin.false_alarms_per_30_days,
            events_per_30_days=float(f"{rate.per_30_days or 0.0:.6g}"),
            rate_from="declared" if rate.declared is not None else "measured",
            events_between_false_alarms=float(f"{between:.6g}"),
            threshold=round(math.log10(between), 4),
            expected_false_alarms=round(watch.rate.events / between, 4) if watch.calibrated else 0.0,
            floor=round(min(floors), 4) if floors else None,
        )

    def snapshot(self) -> VersionState:
        """Return the state, equal for equal histories."""
        return VersionState(
            begin=self.begin,
            taken={group: order.taken() for group, order in self.orders.items()},
            unordered={group: order.unordered for group, order in self.orders.items()},
            groups={group: msgspec.Raw(_encode(watch.snapshot())) for group, watch in self._groups.items()},
            learnt=dict(self._learnt),
            skipped=sorted((topic, p, reasons) for (topic, p), reasons in self._skipped.items()),
            longer={group: learner.snapshot() for group, learner in self._longer.items()},
        )

    @classmethod
    def restored(cls, model: str, version: str, state: VersionState) -> VersionWatch:
        """Return the watch that a state describes.

        A group whose state another version of this program wrote begins from nothing, and says so in the log.
        """
        made = cls(model, version, state.begin)
        for group, baseline in state.learnt.items():
            del made._learners[group]
            made._learnt[group] = baseline
            made._watch(group, decode_baseline(baseline))
        for group, raw in state.longer.items():
            made._longer[group] = LongLearner.restored(raw, *made._to_learn(group))
        for group, inner in state.groups.items():
            why = made._groups[group].resume(inner)
            if why is not None:
                log.warning(
                    "drift detectors begin from nothing: their state cannot be gone on with",
                    model=model,
                    model_version=version,
                    group=group,
                    error=why,
                )
        for group, taken in state.taken.items():
            made.orders[group].restore(taken)
            made.orders[group].unordered = state.unordered[group]
        made._skipped = {(topic, partition): reasons for topic, partition, reasons in state.skipped}
        made.dirty = (
            True  # nobody knows what was reported: the state is committed before the next report is due
        )
        return made
