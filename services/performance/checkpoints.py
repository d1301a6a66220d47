"""What a checkpoint of a partition holds beside its windows."""

from __future__ import annotations

import msgspec

from services.performance.clock import DEFAULT_GRACE, ClockState, Mark, SourceTime
from services.performance.facts import Facts


class Base(msgspec.Struct, array_like=True):
    """What a checkpoint holds beside the windows and the events.

    Attributes
    ----------
    lineage
        Which life of the log this belongs to; local stores of another one are worthless.
    offset
        Log offset up to which the checkpoint counts.
    oldest
        By due moment of open events, the first offset that is needed to rebuild them.
    orphans
        Labels and outcomes that waited for an answer until nobody could give it in time.
    early
        By due moment, events that wait for their first answer.
    concept
        State of the concept-drift detectors, by model and version.
    marks
        Event times that the watermark has still to follow.
    followed, settled, over, now, grace
        The rest of the clock (:class:`ClockState`).
    """

    lineage: str
    offset: int
    watermark: int = -1
    times: dict[str, SourceTime] = {}
    facts: list[Facts] = []
    oldest: dict[int, int] = {}
    orphans: int = 0
    concept: dict[str, bytes] = {}
    early: dict[int, int] = {}
    marks: list[Mark] = []
    followed: list[Mark] = []
    settled: int = -1
    over: int | None = None
    now: int = -1
    grace: int = DEFAULT_GRACE

    @property
    def clock(self) -> ClockState:
        """Where the clock stands; before horizons had a moment of their own they ended with the watermark."""
        return ClockState(
            times=self.times,
            watermark=self.watermark,
            settled=self.settled,
            over=self.watermark if self.over is None else self.over,
            marks=self.marks,
            followed=self.followed,
            now=self.now,
            grace=self.grace,
        )


encode_base = msgspec.msgpack.Encoder().encode
decode_base = msgspec.msgpack.Decoder(Base, strict=False).decode
