"""Time limits on a machine that others use too: what a process waited for a processor does not count.

A limit says how soon a service is well again if it may run. Where thirty processes want two processors, a
group loses its session because nobody could send a heartbeat, and that is nobody's fault who was not let run.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.faults.stage import Stage

MOST: Final = 3.0
"""At most so many times the limit is added: an end must come."""

Thread = tuple[int, str]
"""Process and thread."""


_BROKERS: Final = "data-plane"
"""Beginning of the names of a broker's threads that answer; its compiler and its collector may wait."""


def waits(pids: Iterable[int]) -> dict[Thread, float]:
    """Return how long threads that somebody waits for have waited for a processor so far, in seconds.

    They are the first thread of each process, which is where a service's loop runs, and those of a broker
    that answer.

    Examples
    --------
    >>> import os
    >>> found = waits([os.getpid(), 999_999_999])
    >>> (os.getpid(), str(os.getpid())) in found, all(seconds >= 0 for seconds in found.values())
    (True, True)
    """
    return dict(_waits(pids))


def _waits(pids: Iterable[int]) -> Iterator[tuple[Thread, float]]:
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*"):
            try:
                if thread.name != str(pid) and not (thread / "comm").read_text().startswith(_BROKERS):
                    continue
                ran_waited_turns = (thread / "schedstat").read_text().split()
            except OSError:  # it has ended just now, or the kernel does not count
                continue
            yield (pid, thread.name), int(ran_waited_turns[1]) / 1e9


class Patience:
    """A limit that begins now.

    Parameters
    ----------
    seconds
        The limit, for processes that are let run.
    """

    def __init__(self, stage: Stage, seconds: float) -> None:
        self._stage = stage
        self._seconds = seconds
        self._began = time.monotonic()
        self._before = waits(self._pids())

    def _pids(self) -> list[int]:
        parts = [part for parts in self._stage.fleet.parts.values() for part in parts if part.running]
        parts += [node.part for node in self._stage.kafka.nodes]
        return [part.pid for part in parts if part.pid is not None]

    def starved(self) -> float:
        """Return the seconds since the beginning for which the thread that waited longest was not let run."""
        now = waits(self._pids())
        return max((seconds - self._before.get(thread, 0.0) for thread, seconds in now.items()), default=0.0)

    def gone(self) -> float:
        """Return the seconds since the beginning, by the clock on the wall."""
        return time.monotonic() - self._began

    def left(self) -> float:
        """Return the seconds that are left; negative once the limit is past."""
        return self._seconds + min(self.starved(), MOST * self._seconds) - self.gone()
