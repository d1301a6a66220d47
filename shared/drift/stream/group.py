"""One group's channels of one model version, watched: detector, latches, windows, budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.alarm import Alarm
from shared.drift.alternatives import channel_bets
from shared.drift.baseline import Baseline
from shared.drift.detector import Detector
from shared.drift.latch import Latch, Latched
from shared.drift.second_opinion import SecondOpinion, slot_ranks
from shared.drift.segments import Segment, locate
from shared.drift.slots import Slots
from shared.drift.stream.budget import (
    FIRST_EVENTS,
    Rate,
    events_between,
    on_common_scale,
    on_common_scale_shift,
    share_of,
)
from shared.drift.stream.coding import GroupCoder
from shared.drift.stream.explaining import explain
from shared.drift.stream.lately import Lately, LatelyState
from shared.drift.stream.new_categories import NewCategories, NewCategoriesState
from shared.drift.stream.ordering import ReadySlot
from shared.drift.stream.places import Place, Places
from shared.drift.stream.recent import Recent, RecentState
from shared.drift.stream.windows import WindowCounts, Windows, WindowState

LOOK_SLOTS: Final = 16
"""Evidence is looked at after every 16th slot: at places of the stream, not whenever somebody asks."""


TOLD_NEW: Final = 4
"""Unseen categories named in a sentence about them."""


_Counted = tuple[ReadySlot, WindowCounts]


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """What a group's watch depends on, beside its channels.

    Attributes
    ----------
    window
        Length of a report window, milliseconds.
    false_alarms_per_30_days
        The model's budget.
    events_per_30_days
        As declared, else None.
    of
        Channels of the whole model that share the budget.
    second_opinion
        Whether ADWIN looks at the first numeric channel too.
    """

    window: int
    false_alarms_per_30_days: float
    events_per_30_days: float | None
    of: int
    second_opinion: bool = False


class GroupState(msgspec.Struct, frozen=True, array_like=True):
    """A group's watch as it is kept between processes."""

    rate: Rate
    slot: int
    detector: bytes | None
    latch: bytes
    cleared: dict[str, tuple[Latched, int]]
    stories: dict[str, tuple[int, str]]
    windows: dict[int, WindowState]
    watermark: int
    new: dict[int, NewCategoriesState]
    places: list[list[Place]]
    recent: RecentState
    segments: dict[str, Segment]
    opinion: bytes
    lately: LatelyState


class GroupWatch:
    """Takes slots in order and knows what has changed; the same slots give the same state, to the bit.

    Parameters
    ----------
    baseline
        Of the group.
    """

    def __init__(self, baseline: Baseline, settings: GroupSettings) -> None:
        self.channels = baseline.watched
        self.baseline = baseline
        self.settings = settings
        self.coder = GroupCoder(baseline)
        coded = self.coder.channels
        self._watched = [row for row, channel in enumerate(coded) if channel.calibrated]
        self._columns = max((coded[row].columns for row in self._watched), default=0)
        self._row = {channel.name: row for row, channel in enumerate(coded)}
        self.windows = Windows(settings.window, len(coded), self.coder.columns, len(self.coder.numeric))
        self.rate = Rate(declared=settings.events_per_30_days)
        self.places = Places(0, [])
        self.latch = Latch(10.0)
        self.cleared: dict[str, tuple[Latched, int]] = {}
        """The last alarm of each channel that is off again, and the number of events at which it went off."""
        self.stories: dict[str, tuple[int, str]] = {}
        self.detector: Detector | None = None
        self.slot = 0
        self.changed: set[int] = set()
        """Starts of the windows in which something was counted since they were last reported."""
        self.alarms: list[Alarm] = []
        """Raised since somebody last took them away."""
        self.alarms_off = 0
        """How many went off since somebody last asked."""
        self._newest: WindowCounts | None = None
        self._recent = Recent(len(coded) if self.coder.located else 0)
        self._lately = Lately(len(coded), self.coder.columns, len(self.coder.numeric))
        self._channels = {channel.name: (row, channel) for row, channel in enumerate(coded)}
        self.segments: dict[str, Segment] = {}
        """Where the change of a channel is, of the alarm that is on or was the last one."""
        self.opinion = SecondOpinion()
        """Of ADWIN, on the ranks of :attr:`opinion_on`: it needs no baseline and raises no alarm."""
        numeric = self.coder.numeric if settings.second_opinion else []
        self._ranked = numeric[0] if numeric else None
        if self.rate.per_30_days is not None:
            self._budget()

    @property
    def calibrated(self) -> int:
        """How many channels take part in detection."""
        return len(self._watched)

    @property
    def events_between_false_alarms(self) -> float | None:
        """A of the whole model, None until the rate is known."""
        rate = self.rate.per_30_days
        return None if rate is None else events_between(rate, self.settings.false_alarms_per_30_days)

    def begin_with(self, rate: Rate) -> None:
        """Go by the rate that events had while the baseline was learnt; those count for nothing else."""
        self.rate = rate.begun_anew()
        self._budget()

    def _budget(self) -> None:
        """Set the detector to A as it is now; what it has seen stays."""
        between = self.events_between_false_alarms
        if between is None or not self._watched:
            return
        own = share_of(between, len(self._watched), self.settings.of)
        latch, self.latch = self.latch, Latch(own)
        self.latch.active = latch.active
        if self.detector is not None:
            self.detector = self.detector.with_budget(own)
            return
        bets = [channel_bets(self.coder.channels[row]) for row in self._watched]
        self.detector = Detector(bets, own, self.baseline.fingerprint())

    def _make_detector(self, state: bytes | None) -> None:
        self.detector = None
        self._budget()
        made: Detector | None = self.detector
        if made is not None and state is not None:
            made.restore(state)

    def take(self, slots: list[ReadySlot]) -> int:
        """Take slots in order; return how many were taken: none while the rate cannot be told yet."""
        if not slots or (self.rate.per_30_days is None and sum(slot.events for slot in slots) < FIRST_EVENTS):
            return 0
        batch: list[_Counted] = []
        measured = 0
        if self.rate.per_30_days is None:
            while not self.rate.take(slots[measured].occurred, slots[measured].events):
                measured += 1
            measured += 1
            self._budget()
        for number, slot in enumerate(slots):
            other = number >= measured and self.rate.take(slot.occurred, slot.events)
            batch.append((slot, self._window(slot, batch)))
            self.slot += 1
            if other or self.slot % LOOK_SLOTS == 0:
                self._detect(batch)
                self._look()
            if other:
                self._budget()
        self._detect(batch)
        return len(slots)

    def _window(self, slot: ReadySlot, batch: list[_Counted]) -> WindowCounts:
        """Return the window of a slot; where a new one begins, what came before is settled first."""
        window, start, late = self.windows.window_of(slot.occurred, slot.arrived)
        if window is not self._newest and start >= max(self.windows.open):
            self._detect(batch)
            if self._newest is not None:
                self._look()
                window.weigh(self._newest.evidence)  # which it begins with
            self._newest = window
        window.add(slot.sums, slot.events, slot.events if late else 0)
        if slot.unseen:
            self.windows.note_unseen(slot.unseen)
        self.changed.add(start)
        return window

    def _detect(self, batch: list[_Counted]) -> None:
        """Count the slots in their windows, give them to the detector, and note where they were."""
        if not batch:
            return
        every = np.stack([slot.counts for slot, _ in batch])
        for window in {id(window): window for _, window in batch}.values():
            window.count(every[[window is other for _, other in batch]])
        sizes = [slot.events for slot, _ in batch]
        self._lately.add(every, np.stack([slot.sums for slot, _ in batch]), sizes)
        seen = self.detector.events if self.detector is not None else 0
        for slot, _ in batch:
            seen += slot.events
            self._recent.add(seen, slot.codes)
            self.places.add(seen, slot.occurred, slot.offset, slot.topic, slot.partition)
        if self.detector is not None:
            counts = every[:, self._watched, : self._columns].astype(np.int64)
            for alarm in self.detector.update(Slots(counts, np.array(sizes))):
                self._raise(alarm)
        if self._ranked is not None:
            channel = self.coder.channels[self._ranked]
            ranks = slot_ranks(channel, every[:, self._ranked])
            self.opinion.update(ranks, sizes)
        batch.clear()

    @property
    def opinion_on(self) -> str | None:
        """Name of the channel that the second opinion is about; None where there is none."""
        return None if self._ranked is None else self.coder.channels[self._ranked].name

    def _raise(self, alarm: Alarm) -> None:
        if self.latch.take([alarm]):
            self.segments.pop(alarm.channel, None)
        self._locate(alarm)
        self.cleared.pop(alarm.channel, None)
        alarm = msgspec.structs.replace(alarm, evidence=self.common(alarm.evidence))
        self.alarms.append(alarm)
        row = self._row[alarm.channel]
        window = self._newest
        if window is not None:
            window.peak[row] = max(window.peak[row], alarm.evidence)

    def _locate(self, alarm: Alarm) -> None:
        """Say where a change is; of an alarm that is raised again the first answer stays."""
        if not self.baseline.segments or alarm.channel in self.segments:
            return
        codes = self._recent.between(alarm.change_point, alarm.event)
        found = locate(alarm.channel, self._channels, self.baseline.segments, codes)
        if found is not None:
            self.segments[alarm.channel] = found

    def story(self, name: str) -> str:
        """Return a sentence about a channel's alarm, in the units of the feature."""
        told = self.stories.get(name)
        return told[1] if told is not None else self._tell(name)

    def _tell(self, name: str) -> str:
        row, latched = self._row[name], self.latch.active.get(name)
        if latched is None or self.detector is None:
            return ""
        counts, sums = self._lately.since(self.detector.events - latched.change_point)
        unseen = latched.change == "unseen"
        new = [category for category, _ in self.windows.most_new(row, TOLD_NEW)] if unseen else []
        return explain(
            self.coder.channels[row],
            counts[row],
            self.sums(row, sums),
            change=latched.change,
            detail=latched.detail,
            new=new,
        )

    def sums(self, row: int, sums: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return a channel's row of the sums of all numeric channels; None where it is not numeric."""
        numeric = self.coder.numeric
        return sums[numeric.index(row)] if row in numeric else None

    def common(self, evidence: float) -> float:
        """Return a detector's evidence on the scale where the whole model alarms at log10(A)."""
        return on_common_scale(evidence, len(self._watched), self.settings.of)

    def evidence(self) -> NDArray[np.float64]:
        """Return log10 of each coded channel's evidence now, on the scale of the whole model."""
        found = np.zeros(len(self.coder.channels))
        if self.detector is not None:
            own = np.array(list(self.detector.evidence.values()))
            found[self._watched] = np.maximum(own + on_common_scale_shift(len(own), self.settings.of), 0.0)
        return found

    def _look(self) -> None:
        """Note the evidence in the newest window, and let alarms go off whose change is over."""
        evidence = self.evidence()
        if self._newest is not None:
            self._newest.weigh(evidence)
        if self.detector is None:
            return
        for gone in self.latch.clear(self.detector.evidence, self.detector.events):
            self.cleared[gone.latched.channel] = (gone.latched, gone.event)
            self.alarms_off += 1
        for name, latched in self.latch.active.items():
            if latched.last > self.stories.get(name, (-1, ""))[0]:
                self.stories[name] = (latched.last, self._tell(name))

    def snapshot(self) -> GroupState:
        """Return the state, equal for equal histories."""
        return GroupState(
            rate=self.rate.copy(),
            slot=self.slot,
            detector=None if self.detector is None else self.detector.snapshot(),
            latch=self.latch.snapshot(),
            cleared=dict(sorted(self.cleared.items())),
            stories=dict(self.stories),
            windows={start: window.snapshot() for start, window in sorted(self.windows.open.items())},
            watermark=self.windows.watermark,
            new={channel: tally.snapshot() for channel, tally in sorted(self.windows.new.items())},
            places=self.places.snapshot(),
            recent=self._recent.snapshot(),
            segments=dict(sorted(self.segments.items())),
            opinion=self.opinion.snapshot(),
            lately=self._lately.snapshot(),
        )

    def resume(self, raw: bytes | msgspec.Raw) -> str | None:
        """Go on from an encoded state; where that is impossible, begin from nothing and return why.

        What was counted in the windows is kept where it can be read. Alarms are forgotten with the evidence:
        while a change lasts, it is found again.
        """
        try:
            state = msgspec.msgpack.decode(raw, type=GroupState)
        except msgspec.DecodeError as error:
            return str(error)
        try:
            self.restore(state)
        except ValueError as error:
            self._make_detector(None)
            self.latch.active.clear()
            self.cleared, self.stories, self.segments = {}, {}, {}
            self.places = Places(self.slot, [])
            self._recent = Recent(self._recent.channels)
            return str(error)
        return None

    def restore(self, state: GroupState) -> None:
        """Go on from a state.

        Raises
        ------
        ValueError
            The detector's is of another baseline or of other bets.
        """
        self.rate, self.slot = state.rate.copy(), state.slot
        self.cleared, self.stories = dict(state.cleared), dict(state.stories)
        self.latch.restore(state.latch)
        self.places = Places(state.slot, [list(level) for level in state.places])
        shape = (len(self.coder.channels), self.coder.columns, len(self.coder.numeric))
        self.windows.watermark = state.watermark
        self.windows.open = {s: WindowCounts.restored(w, *shape) for s, w in state.windows.items()}
        self.windows.new = {channel: NewCategories.restored(tally) for channel, tally in state.new.items()}
        self._recent = Recent(self._recent.channels, state.recent)
        self.segments = dict(state.segments)
        self.opinion.restore(state.opinion)
        self._lately.restore(state.lately)
        self._newest = self.windows.open[max(self.windows.open)] if self.windows.open else None
        self.changed = set(self.windows.open)
        self._make_detector(state.detector)
