"""Alarms that stay: latched when a channel alarms, cleared by rule when it has long been quiet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from shared.drift.alarm import Alarm
from shared.drift.alternatives import Change
from shared.drift.detector import Detector
from shared.drift.slots import SLOT, Slots

CHECK_SLOTS = 64
"""Latches are cleared every 64 slots (1,024 events), counted from the first slot ever."""
QUIET_EVENTS = 4_096
PATIENCE = 4
CLEAR_SHARE = 2 / 3


class Latched(msgspec.Struct, frozen=True, kw_only=True):
    """A channel that has drifted, for as long as it has.

    Attributes
    ----------
    channel
        Its name.
    change, detail
        What the first alarm said.
    since
        Events seen when it first alarmed.
    change_point
        Estimated number of events before the change.
    alarms
        How often it has alarmed since.
    evidence
        Largest log10 evidence of those alarms.
    last
        Events seen at the last of them.
    longest
        Longest time from change to alarm among them, events.
    """

    channel: str
    change: Change
    detail: str
    since: int
    change_point: int
    alarms: int
    evidence: float
    last: int
    longest: int

    @property
    def quiet(self) -> int:
        """Events without an alarm after which the channel may clear."""
        return max(QUIET_EVENTS, PATIENCE * self.longest)

    def again(self, alarm: Alarm) -> Latched:
        """Return the latch after one more alarm."""
        return msgspec.structs.replace(
            self,
            alarms=self.alarms + 1,
            evidence=max(self.evidence, alarm.evidence),
            last=alarm.event,
            longest=max(self.longest, _delay(alarm, self.last)),
        )


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """A channel that has begun or ceased to be in alarm.

    Attributes
    ----------
    status
        ``raised`` or ``cleared``.
    event
        Events seen then.
    latched
        The latch, in its last state.
    """

    status: Literal["raised", "cleared"]
    event: int
    latched: Latched


class Latch:
    """Keeps alarms and clears them by a rule with hysteresis.

    A channel is raised by its first alarm, whose evidence has reached A. While the change lasts, the
    detector alarms again and again, about as far apart as the first alarm was from the change. It
    clears when both hold: no alarm for 4,096 events and for four times the longest of those delays,
    and evidence below A to the power of 2/3. So one quiet moment does not clear it, and
    a channel on the edge does not flap.

    Parameters
    ----------
    events_between_alarms
        A, as the detector has it.

    Examples
    --------
    >>> latch = Latch(1e6)
    >>> alarm = Alarm(channel="delay", change="location", detail="mean +1 sd", evidence=6.2,
    ...               event=160, change_point=96)
    >>> latch.take([alarm])[0].status, list(latch.active)
    ('raised', ['delay'])
    >>> latch.clear({"delay": 0.3}, 4_256)[0].status, list(latch.active)
    ('cleared', [])
    """

    def __init__(self, events_between_alarms: float) -> None:
        self._clear_below = CLEAR_SHARE * math.log10(events_between_alarms)
        self.active: dict[str, Latched] = {}

    def take(self, alarms: Sequence[Alarm]) -> list[Transition]:
        """Take alarms in the order they were raised; return what has begun."""
        begun = []
        for alarm in alarms:
            known = self.active.get(alarm.channel)
            self.active[alarm.channel] = latched = known.again(alarm) if known else _first(alarm)
            if known is None:
                begun.append(Transition(status="raised", event=alarm.event, latched=latched))
        return begun

    def clear(self, evidence: Mapping[str, float], events: int) -> list[Transition]:
        """Return what has ceased, and forget it.

        Parameters
        ----------
        evidence
            log10 of each channel's evidence now.
        events
            Events seen by now.
        """
        ceased = []
        for channel, latched in list(self.active.items()):
            calm = evidence.get(channel, 0.0) < self._clear_below
            if calm and events - latched.last >= latched.quiet:
                del self.active[channel]
                ceased.append(Transition(status="cleared", event=events, latched=latched))
        return ceased

    def snapshot(self) -> bytes:
        """Return the latched channels as bytes."""
        return msgspec.msgpack.encode(list(self.active.values()))

    def restore(self, raw: bytes) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            The bytes are not the snapshot of a latch.
        """
        try:
            found = msgspec.msgpack.decode(raw, type=list[Latched])
        except msgspec.DecodeError as error:
            raise ValueError(f"the bytes are not the snapshot of a latch: {error}") from error
        self.active = {latched.channel: latched for latched in found}


class LatchedDetector:
    """A detector whose alarms are latched, with the same answers however calls divide the slots.

    Whether a latch clears is looked at after every 64th slot and after nothing else, so neither the
    size of a batch nor a restart moves a transition.

    Parameters
    ----------
    detector
        Fresh, or restored together with the latch.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.latch = Latch(detector.events_between_alarms)

    def update(self, slots: Slots) -> tuple[list[Alarm], list[Transition]]:
        """Return the alarms that these slots raise, and what begins and ceases because of them."""
        alarms: list[Alarm] = []
        changed: list[Transition] = []
        done = 0
        while done < len(slots):
            take = min(CHECK_SLOTS - self.detector.slots % CHECK_SLOTS, len(slots) - done)
            part = slice(done, done + take)
            raised = self.detector.update(Slots(slots.counts[part], slots.events[part]))
            alarms += raised
            changed += self.latch.take(raised)
            if self.detector.slots % CHECK_SLOTS == 0:
                changed += self.latch.clear(self.detector.evidence, self.detector.events)
            done += take
        return alarms, changed

    def with_budget(self, events_between_alarms: float) -> LatchedDetector:
        """Return a detector that has seen the same under another budget; alarms that are on stay on."""
        other = LatchedDetector(self.detector.with_budget(events_between_alarms))
        other.latch.active = dict(self.latch.active)
        return other

    def snapshot(self) -> bytes:
        """Return detector and latch as bytes."""
        state = _State(detector=self.detector.snapshot(), latch=self.latch.snapshot())
        return msgspec.msgpack.encode(state)

    def restore(self, raw: bytes) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            The bytes are not a snapshot, or one of another baseline, budget or set of channels.
        """
        try:
            state = msgspec.msgpack.decode(raw, type=_State)
        except msgspec.DecodeError as error:
            raise ValueError(f"the bytes are not a latched detector's snapshot: {error}") from error
        self.detector.restore(state.detector)
        self.latch.restore(state.latch)


class _State(msgspec.Struct, frozen=True):
    detector: bytes
    latch: bytes


def _first(alarm: Alarm) -> Latched:
    return Latched(
        channel=alarm.channel,
        change=alarm.change,
        detail=alarm.detail,
        since=alarm.event,
        change_point=alarm.change_point,
        alarms=1,
        evidence=alarm.evidence,
        last=alarm.event,
        longest=_delay(alarm, alarm.change_point),
    )


def _delay(alarm: Alarm, begun: int) -> int:
    """Return how long an alarm took, from its change point or, if later, from ``begun``."""
    return max(alarm.event - max(alarm.change_point, begun), SLOT)
