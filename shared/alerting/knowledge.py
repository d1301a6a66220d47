"""What is known from reports, and what each rule finds in it: readings, and what rules need of the past."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from shared.alerting.conditions import Condition, matches
from shared.alerting.judging import Finding, judge
from shared.alerting.readers import KINDS, VOCABULARIES
from shared.alerting.readings import Cell, Readings
from shared.alerting.states import Memory, Reading, record_key
from shared.alerting.vocabulary import Labels

READING, MEMORY = "reading", "memory"
"""First parts of records' keys."""

Named = tuple[str, Labels]
"""A thing that is watched: its vocabulary and its labels."""

Found = tuple[Condition, Labels, Finding | None]
"""A rule, a thing, and what it finds there; ``None`` where nothing says enough."""

SUPERSEDED_AFTER: Final = 60_000
"""A version that is not in its model's newest window, and silent so long, answers no more."""

_encode = msgspec.json.encode


class Knowledge:
    """The newest readings, with the rules that speak of them; handed out as records like all that is kept.

    Parameters
    ----------
    conditions
        The rules, made ready.
    """

    def __init__(self, conditions: Iterable[Condition]) -> None:
        self._by_vocabulary: dict[str, list[Condition]] = {}
        for condition in conditions:
            self._by_vocabulary.setdefault(condition.vocabulary.kind, []).append(condition)
        self._memories: dict[str, Memory] = {}
        self._memories_of: dict[str, set[str]] = {}
        self._dirty: dict[str, bytes | None] = {}
        self.readings = Readings()

    def load(self, records: Mapping[str, bytes]) -> None:
        """Take back what :meth:`drain` handed out."""
        found = []
        for key, value in records.items():
            if key.startswith(MEMORY + "/"):
                of = "/".join(key.split("/")[:4])
                self._remember(of, key, msgspec.json.decode(value, type=Memory))
            elif key.startswith(READING + "/"):
                found.append(msgspec.json.decode(value, type=Reading))
        for reading in sorted(found, key=lambda one: one.written_at):
            self.readings.take(reading)

    def take(self, reading: Reading) -> bool:
        """Keep a reading; return whether it counts."""
        if not self.readings.take(reading):
            return False
        self._dirty[record_key(READING, *map(str, reading.key))] = _encode(reading)
        return True

    def about(self, named: Named) -> list[Condition]:
        """Return the rules that are about such a thing."""
        return self._by_vocabulary.get(named[0], [])

    def things(self, cell: Cell) -> set[Named]:
        """Return everything that a cell speaks of."""
        return {
            (vocabulary, part.labels)
            for reading in self.readings.of(cell)
            for vocabulary, parts in reading.parts.items()
            for part in parts
        }

    def findings(self, cell: Cell, now: int) -> Iterator[Found]:
        """Apply every rule to everything that a cell speaks of; ``now`` is when it was last reported on."""
        for name in KINDS.get(cell[0], ()):
            if not (conditions := self._by_vocabulary.get(name)):
                continue
            for labels, windows in self.readings.things(cell, VOCABULARIES[name]).items():
                known = dict(labels)
                for condition in conditions:
                    if not matches(condition.rule.where, known):
                        continue
                    key = _memory_key(condition, cell, labels)
                    memory = self._memories.get(key) or Memory()
                    others = self._elsewhere(condition, cell, labels)
                    yield condition, labels, judge(condition, windows, memory, now, others)
                    if memory.points:
                        self._remember(record_key(MEMORY, *cell), key, memory)
                        self._dirty[key] = _encode(memory)

    def outdated(self, reading: Reading) -> Iterator[tuple[Cell, str]]:
        """Yield the cells to forget now that a reading has come, and why."""
        for cell in self.readings.superseded(reading, SUPERSEDED_AFTER):
            yield cell, "another version answers"
        for cell in self.readings.crowded():
            yield cell, "too much is watched, and this was reported on longest ago"

    def forget(self, cell: Cell) -> None:
        """Drop everything that is known of a cell."""
        self.readings.forget(cell)
        for key in self._memories_of.pop(record_key(MEMORY, *cell), ()):
            del self._memories[key]
            self._dirty[key] = None

    def drain(self) -> dict[str, bytes | None]:
        """Return the records to keep since the last call, readings last; ``None`` for those to delete."""
        for reading in self.readings.gone:
            self._dirty[record_key(READING, *map(str, reading.key))] = None
        self.readings.gone.clear()
        dirty, self._dirty = self._dirty, {}
        return dict(sorted(dirty.items(), key=lambda item: item[0].startswith(READING)))

    def _elsewhere(self, condition: Condition, cell: Cell, labels: Labels) -> list[Memory]:
        """Return what is remembered of the same thing as other processes of the service saw it."""
        if condition.rate_over is None or not condition.vocabulary.shared:
            return []
        keys = [_memory_key(condition, other, labels) for other in self.readings.siblings(cell)]
        return [self._memories[key] for key in keys if key in self._memories]

    def _remember(self, of: str, key: str, memory: Memory) -> None:
        self._memories[key] = memory
        self._memories_of.setdefault(of, set()).add(key)


def _memory_key(condition: Condition, cell: Cell, labels: Labels) -> str:
    return record_key(MEMORY, *cell, condition.name, *(value for _, value in labels))
