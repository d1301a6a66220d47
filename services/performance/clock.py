"""Event time of one partition of the log: as far as every one of its sources has come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

_MARKS: Final = 8
"""So finely the grace is kept: it is longer by one part in eight at most."""

DEFAULT_GRACE: Final = 60_000
"""Milliseconds: what the grace is until a checkpoint says otherwise."""


class SourceTime(msgspec.Struct, array_like=True):
    """Latest event time of one source, and whether it has nothing more for now."""

    high: int
    idle: bool


class Mark(msgspec.Struct, array_like=True):
    """Event time that was reached, and the log's time at which it was; epoch milliseconds."""

    reached: int
    begun_at: int
    at: int


class ClockState(msgspec.Struct, kw_only=True):
    """What a clock has to know to go on; all of it comes from the log.

    Attributes
    ----------
    times
        By source.
    watermark
        Event time that everybody has come to, a grace ago.
    settled
        The same, two graces ago.
    over
        Horizons that end by then are over: the watermark, or what is settled, see :meth:`EventClock.end`.
    marks, followed
        Event times that the watermark, and what is settled, have still to follow.
    now
        The log's time.
    grace
        Milliseconds of the log's time.
    """

    times: dict[str, SourceTime] = {}
    watermark: int = -1
    settled: int = -1
    over: int = -1
    marks: list[Mark] = []
    followed: list[Mark] = []
    now: int = -1
    grace: int = DEFAULT_GRACE


class EventClock:
    """The watermark: no event before it is expected any more.

    A source is one partition of predictions, shadow predictions, labels or outcomes. Event time is
    that of the slowest source that is not idle, so that a backlog of labels read before their
    predictions ends nobody's horizon. Where all are idle it is the time of the fastest.

    The watermark is the least that event time has been within the grace. A source that was called idle may
    have records again before the log knows of them, and meanwhile the others, in a backlog, come hours
    further; once it says so, event time is its own again, and what the others had reached is forgotten.

    What is settled follows a second grace later: so long the outcome of an entity may take from the
    partition of the entity, whose reader may have died, to that of its event.

    The log's time is the latest time that was written into it. A writer whose clock is ahead by less than
    the grace changes nothing; one that is further ahead counts no longer than until somebody else is heard,
    but what it had ended stays ended: the grace must be longer than clocks are apart.

    Examples
    --------
    >>> clock = EventClock(["predictions/0", "labels/0"], ClockState(grace=0))
    >>> clock.heard("labels/0", 900, idle=False, at=0), clock.heard("predictions/0", 100, idle=False, at=1)
    (-1, 100)
    >>> clock.heard("predictions/0", 100, idle=True, at=2), clock.heard("labels/0", 900, idle=True, at=3)
    (900, 900)
    """

    def __init__(self, expected: Sequence[str], state: ClockState) -> None:
        self._expected = frozenset(expected)
        self._state = _copy(state)

    @property
    def watermark(self) -> int:
        """Event time that every source has come to; -1 before that is known."""
        return self._state.watermark

    @property
    def settled(self) -> int:
        """The watermark of a grace ago."""
        return self._state.settled

    @property
    def over(self) -> int:
        """Horizons that end by then are over."""
        return self._state.over

    def state(self, *, grace: int) -> ClockState:
        """Return the state, and go on from here with this grace: whoever begins with the state does too."""
        self._state.grace = grace
        return _copy(self._state)

    def heard(self, source: str, high: int, *, idle: bool, at: int) -> int:
        """Take what a source says of its time, at a time of the log; return the watermark."""
        state = self._state
        if at < state.now - state.grace:
            self._set_back(at + state.grace)
        state.now = max(at, state.now)
        if source in self._expected:
            known = state.times.get(source)
            state.times[source] = SourceTime(max(high, known.high if known is not None else -1), idle)
            if len(state.times.keys() & self._expected) == len(self._expected):
                self._reach(self._reached())
        self._follow()
        return state.watermark

    def end(self, *, by_entity: bool) -> int:
        """End the horizons that can be; where outcomes may come by way of an entity, what is settled."""
        state = self._state
        state.over = max(state.over, state.settled if by_entity else state.watermark)
        return state.over

    def _reached(self) -> int:
        times = [self._state.times[name] for name in self._expected]
        busy = [time.high for time in times if not time.idle]
        return min(busy) if busy else max(time.high for time in times)

    def _reach(self, reached: int) -> None:
        """Note the event time of now, and forget what lay beyond it."""
        state, marks = self._state, self._state.marks
        begun_at = at = state.now
        while marks and marks[-1].reached > reached:
            beyond = marks.pop()
            begun_at, at = beyond.begun_at, beyond.at  # since then it has been at least this
        if reached <= (marks[-1].reached if marks else state.watermark):
            return
        if marks and at - marks[-1].begun_at < state.grace // _MARKS:
            marks[-1].reached, marks[-1].at = reached, at
        else:
            marks.append(Mark(reached, begun_at, at))

    def _set_back(self, now: int) -> None:
        """Set the log's time back: nothing was reached later than that."""
        self._state.now = now
        for mark in (*self._state.marks, *self._state.followed):
            mark.begun_at, mark.at = min(mark.begun_at, now), min(mark.at, now)

    def _follow(self) -> None:
        """Let the watermark, and what is settled, come to what was reached so long ago."""
        state, grace = self._state, self._state.grace
        while state.marks and state.marks[0].at + grace <= state.now:
            mark = state.marks.pop(0)
            state.watermark = mark.reached
            state.followed.append(mark)
        while state.followed and state.followed[0].at + 2 * grace <= state.now:
            state.settled = state.followed.pop(0).reached


def _copy(state: ClockState) -> ClockState:
    return msgspec.convert(msgspec.to_builtins(state), ClockState)
