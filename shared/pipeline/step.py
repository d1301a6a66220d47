"""What a service puts into the pipeline: a pure step that knows no Kafka, clock or environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from shared.kafka.records import Output, Records

Work = TypeVar("Work")

CaughtUp = Callable[[str, int], int | None]
"""Returns when a partition was last seen to have no more records, epoch milliseconds, else None."""


class Step(Protocol[Work]):
    """Messages in, messages out.

    For one micro-batch the pipeline calls ``decode``, then ``compute`` in a worker thread, then
    ``encode`` once per partition that is still ours. State per input partition lives in the step
    between ``open`` and ``close``; only ``encode`` and ``flush`` may change it, since what they
    return is committed together with ``snapshot``.
    """

    def decode(self, batch: Sequence[Records]) -> Work:
        """Return the micro-batch decoded; bad records become dead letters in ``encode``."""
        ...

    def compute(self, work: Work) -> None:
        """Do the heavy arithmetic; runs in a thread and must not touch partition state."""
        ...

    def encode(self, work: Work, index: int) -> list[Output]:
        """Return what the ``index``-th partition of the micro-batch produces; updates its state."""
        ...

    def open(self, topic: str, partition: int, next_offset: int, state: bytes | None) -> None:
        """Take over a partition at ``next_offset`` with the state last committed for it."""
        ...

    def close(self, topic: str, partition: int) -> None:
        """Forget a partition and its state."""
        ...

    def flush(self, topic: str, partition: int, *, leaving: bool) -> list[Output]:
        """Return what is due although no record came; ``leaving`` asks for all there is to say."""
        ...

    def snapshot(self, topic: str, partition: int) -> bytes | None:
        """Return the partition's state to commit with its outputs; ``None`` where there is none."""
        ...


@runtime_checkable
class Rewinding(Protocol):
    """A step that reads some records again when it takes over a partition.

    For state that is cheaper to read than to keep: what waits for something that has not come yet. The
    step must know the records it has had, since it gets them twice.
    """

    def resume_at(self, state: bytes) -> int:
        """Return the offset to read on from, at most the one that belongs to ``state``."""
        ...
