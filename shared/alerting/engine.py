"""From reports to alerts that fire and resolve: pure, without Kafka, clock or network.

Time is the reports' own (``written_at``), so that a replay of the same reports comes to the same ids.
Only two things need a clock: something that is *not* reported, and a condition that goes on while
nothing more is said. :meth:`Engine.tick` does those, and must only be called while reports are read as
they are written.

What it knows is handed out as records to be kept (:meth:`Engine.drain`), alerts before the readings
they came from: a process that is killed between two writes finds the same again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from shared.alerting.conditions import Condition, matches
from shared.alerting.judging import Finding, judge
from shared.alerting.readers import KINDS, VOCABULARIES
from shared.alerting.readings import Cell, Readings, read
from shared.alerting.states import Memory, Reading, Watch, alert_id
from shared.alerting.vocabulary import Labels
from shared.alerting.wording import firing, resolved
from shared.messages import Alert, Report, ServiceReport

FORGET_AFTER: Final = 86_400_000
"""What has not been reported on for a day is watched no more, and its alerts are resolved."""

SUPERSEDED_AFTER: Final = 60_000
"""A version that is not in its model's newest window, and silent so long, answers no more."""

_MISSED: Final = 3
"""So many reports of a service must be missed, whatever the rule says, before it is gone."""

READING, WATCH, MEMORY = "reading", "watch", "memory"
_encode = msgspec.json.encode


class Key(NamedTuple):
    """A rule and what one alert of it is for."""

    rule: str
    group: Labels


class Change(NamedTuple):
    """An alert that began to fire or was resolved, and what is remembered of it."""

    alert: Alert
    watch: Watch


@dataclass(slots=True)
class _Group:
    """The things of one group in which a rule holds, and since when it was seen to.

    For an absence: when each cell was last heard of.
    """

    breaches: dict[tuple[Cell, Labels], tuple[Labels, Finding]] = field(default_factory=dict)
    since: dict[tuple[Cell, Labels], int] = field(default_factory=dict)
    heard: dict[Cell, tuple[int, int]] = field(default_factory=dict)


class Engine:
    """Applies rules to reports.

    Parameters
    ----------
    conditions
        The rules, made ready.
    """

    def __init__(self, conditions: Iterable[Condition]) -> None:
        self._conditions = {condition.name: condition for condition in conditions}
        self._by_vocabulary: dict[str, list[Condition]] = {}
        for condition in self._conditions.values():
            self._by_vocabulary.setdefault(condition.vocabulary.kind, []).append(condition)
        self._readings = Readings()
        self._memories: dict[str, Memory] = {}
        self._groups: dict[Key, _Group] = {}
        self._dirty: dict[str, bytes | None] = {}
        self._said: list[Change] = []
        self.watches: dict[Key, Watch] = {}
        """Every alert that is pending or fires."""

    def load(self, records: Mapping[str, bytes]) -> None:
        """Take back what :meth:`drain` handed out, by its key; call it once, first of all.

        A rule that is new is applied with the next report of each thing; the alerts of one that is gone are
        resolved.
        """
        readings = []
        for key, value in records.items():
            match key.partition("/")[0]:
                case "watch":
                    watch = msgspec.json.decode(value, type=Watch)
                    self.watches[Key(watch.rule, watch.group)] = watch
                case "memory":
                    self._memories[key] = msgspec.json.decode(value, type=Memory)
                case "reading":
                    readings.append(msgspec.json.decode(value, type=Reading))
        for reading in sorted(readings, key=lambda reading: reading.written_at):
            self._readings.take(reading)
        heard = {cell: reading for reading in readings for cell in [reading.key[:3]]}
        for cell, at in list(self._readings.cells()):
            for condition, labels, finding in self._findings(cell, at):
                if condition.absent is not None:
                    self._hear(condition, cell, labels, heard[cell])
                elif finding is not None:
                    self._put(condition, cell, labels, finding, at)
        for watched, watch in list(self.watches.items()):
            if watched.rule not in self._conditions:
                self._end(watched, watch, watch.fired_at, "the rule is gone")

    def take(self, report: Report | ServiceReport) -> list[Change]:
        """Return the alerts that begin to fire or are resolved because of a report."""
        reading = read(report)
        if reading is None:
            return self._spoken()
        cell, now = reading.key[:3], reading.written_at
        former = self._things(cell)
        if not self._readings.take(reading):
            return self._spoken()
        if isinstance(report, ServiceReport) and report.stopping:
            self._forget(cell, now)
        else:
            self._dirty[_key(READING, *map(str, reading.key))] = _encode(reading)
            self._look(cell, reading, now)
            for vocabulary, labels in former - self._things(cell):
                self._leave(cell, vocabulary, labels, now)
        for other in [*self._readings.superseded(reading, SUPERSEDED_AFTER), *self._readings.crowded()]:
            self._forget(other, now)
        self._drop_readings()
        return self._spoken()

    def tick(self, now: int) -> list[Change]:
        """Return the alerts that begin to fire or are resolved because time has passed."""
        for cell in self._readings.silent_since(now - FORGET_AFTER):
            self._forget(cell, now)
        self._drop_readings()
        for key, group in list(self._groups.items()):
            condition, watch = self._conditions[key.rule], self.watches.get(key)
            if condition.absent is not None:
                self._miss(condition, key, group, now)
            elif watch is not None and (group.breaches or watch.clear_since):
                # Only a report begins an alert or resolves it at once: after a kill in the middle of a
                # write, the report that an alert rests on, or that ended it, may not be kept yet, and is
                # about to be read again.
                self._advance(condition, key, group, now)
        for key, watch in list(self.watches.items()):
            if key not in self._groups and now - watch.since > FORGET_AFTER:
                self._end(key, watch, now, "nothing has been reported on it for a day")
        return self._spoken()

    def drain(self) -> dict[str, bytes | None]:
        """Return the records to keep since the last call, ``None`` for those to delete, in order."""
        order = {WATCH: 0, MEMORY: 1, READING: 2}
        dirty = sorted(self._dirty.items(), key=lambda item: order[item[0].partition("/")[0]])
        self._dirty.clear()
        return dict(dirty)

    def note(self, watch: Watch, *, notified: bool, muted_by: str | None) -> None:
        """Remember whether receivers were told of an alert, and what mutes it."""
        watch.notified = notified
        if watch.alert is not None:
            watch.alert = msgspec.structs.replace(watch.alert, muted_by=muted_by)
        key = Key(watch.rule, watch.group)
        if self.watches.get(key) is watch:  # else it is over already
            self._keep(key, watch)

    def _things(self, cell: Cell) -> set[tuple[str, Labels]]:
        return {
            (vocabulary, part.labels)
            for reading in self._readings.of(cell)
            for vocabulary, parts in reading.parts.items()
            for part in parts
        }

    def _look(self, cell: Cell, reading: Reading, now: int) -> None:
        """Apply every rule to everything that a cell speaks of."""
        for condition, labels, finding in self._findings(cell, now):
            if condition.absent is not None:
                key = self._hear(condition, cell, labels, reading)
                if (watch := self.watches.get(key)) is not None:
                    self._end(key, watch, now, "")
            elif finding is not None:  # else nothing says enough, and what was found before stands
                self._hold_first(condition, labels, now)
                key = self._put(condition, cell, labels, finding, now)
                self._advance(condition, key, self._groups[key], now)

    def _findings(self, cell: Cell, now: int) -> Iterator[tuple[Condition, Labels, Finding | None]]:
        for name in KINDS.get(cell[0], ()):
            conditions = self._by_vocabulary.get(name)
            if not conditions:
                continue
            for labels, windows in self._readings.things(cell, VOCABULARIES[name]).items():
                known = dict(labels)
                for condition in conditions:
                    if not matches(condition.rule.where, known):
                        continue
                    if condition.absent is not None:
                        yield condition, labels, None
                        continue
                    remembered, memory = self._memory(condition, cell, labels)
                    yield condition, labels, judge(condition, windows, memory, now)
                    if remembered and memory.points:
                        self._memories[remembered] = memory
                        self._dirty[remembered] = _encode(memory)

    def _memory(self, condition: Condition, cell: Cell, labels: Labels) -> tuple[str, Memory]:
        if condition.rate_over is None and condition.rule.relative_to is None:
            return "", Memory()
        key = _key(MEMORY, *cell, condition.name, *(value for _, value in labels))
        return key, self._memories.get(key) or Memory()

    def _hear(self, condition: Condition, cell: Cell, labels: Labels, reading: Reading) -> Key:
        key = Key(condition.name, condition.group_of(labels))
        self._groups.setdefault(key, _Group()).heard[cell] = (reading.written_at, reading.interval)
        return key

    def _put(self, condition: Condition, cell: Cell, labels: Labels, finding: Finding, now: int) -> Key:
        """Note in its group whether a rule holds for a thing."""
        key = Key(condition.name, condition.group_of(labels))
        group = self._groups.setdefault(key, _Group())
        if finding.breached:
            group.breaches[cell, labels] = (labels, finding)
            group.since.setdefault((cell, labels), now)
        else:
            group.breaches.pop((cell, labels), None)
            group.since.pop((cell, labels), None)
        return key

    def _hold_first(self, condition: Condition, labels: Labels, now: int) -> None:
        """Let an alert fire that has held long enough by now, whatever the new report says.

        A tick would have found it; so a replay, which has no ticks, finds it here.
        """
        key = Key(condition.name, condition.group_of(labels))
        watch, group = self.watches.get(key), self._groups.get(key)
        if watch is not None and group is not None and group.breaches:
            self._fire_if_due(condition, watch, group, now)

    def _advance(self, condition: Condition, key: Key, group: _Group, now: int) -> None:
        """Move one alert on: nothing to pending, pending to firing, firing to resolved."""
        watch = self.watches.get(key)
        if watch is not None and now < watch.since:
            return  # a report of before it, read once more: what it led to has been said
        if group.breaches:
            if watch is None:
                window = min(finding.window for _, finding in group.breaches.values())
                watch = Watch(key.rule, key.group, alert_id(key.rule, key.group, window), since=now)
                self.watches[key] = watch
                self._keep(key, watch)
            elif watch.clear_since:
                watch.clear_since = 0
                self._keep(key, watch)
            self._fire_if_due(condition, watch, group, now)
            self._tell_again(condition, watch, group, now)
        elif watch is not None and not watch.fired_at:
            self._end(key, watch, now, "")
        elif watch is not None and condition.keep_firing and not watch.clear_since:
            watch.clear_since = now
            self._keep(key, watch)
        elif watch is not None and now - (watch.clear_since or now) >= condition.keep_firing:
            self._end(key, watch, now, "")

    def _fire_if_due(self, condition: Condition, watch: Watch, group: _Group, now: int) -> None:
        if not watch.fired_at and now - watch.since >= condition.hold:
            self._fire(condition, watch, group)

    def _fire(self, condition: Condition, watch: Watch, group: _Group, silent: int | None = None) -> None:
        watch.fired_at = watch.since + condition.hold
        watch.alert = firing(condition, watch, group.breaches, at=watch.fired_at, silent=silent)
        if condition.tell_again is not None:
            watch.told = [labels for labels, _ in group.breaches.values()]
        self._keep(Key(watch.rule, watch.group), watch)
        self._said.append(Change(watch.alert, watch))

    def _tell_again(self, condition: Condition, watch: Watch, group: _Group, now: int) -> None:
        """Say it once more where the rule wants that and holds for things that were not named yet."""
        if condition.tell_again is None or watch.alert is None:
            return
        named = set(watch.told)
        new = {key: found for key, found in group.breaches.items() if found[0] not in named}
        due = watch.alert.changed_at + condition.tell_again
        if not new or now < due:
            return
        at = max(due, min(group.since[key] for key in new))
        watch.alert = firing(condition, watch, new, at=at, matching=len(group.breaches))
        watch.told += [labels for labels, _ in new.values()]
        self._keep(Key(watch.rule, watch.group), watch)
        self._said.append(Change(watch.alert, watch))

    def _miss(self, condition: Condition, key: Key, group: _Group, now: int) -> None:
        """Move the alert of an absence on."""
        if condition.absent is None or not group.heard:
            return
        last, interval = max(group.heard.values())
        due = last + max(condition.absent, _MISSED * interval)
        if now <= due:
            return
        watch = self.watches.get(key)
        if watch is None:
            watch = Watch(key.rule, key.group, alert_id(key.rule, key.group, last), since=due)
            self.watches[key] = watch
            self._keep(key, watch)
        if not watch.fired_at and now - watch.since >= condition.hold:
            self._fire(condition, watch, group, silent=now - last)

    def _end(self, key: Key, watch: Watch, now: int, because: str) -> None:
        """Resolve an alert, or drop one that never fired."""
        del self.watches[key]
        self._dirty[_watch_key(key)] = None
        if watch.alert is not None:
            self._said.append(Change(resolved(watch, now, because), watch))

    def _leave(self, cell: Cell, vocabulary: str, labels: Labels, now: int) -> None:
        """Let go of one thing that its cell does not speak of any more."""
        for condition in self._by_vocabulary.get(vocabulary, ()):
            key = Key(condition.name, condition.group_of(labels))
            group = self._groups.get(key)
            if group is None:
                continue
            group.breaches.pop((cell, labels), None)
            group.since.pop((cell, labels), None)
            if condition.absent is not None:
                group.heard.pop(cell, None)
                if not group.heard and (watch := self.watches.get(key)) is not None:
                    self._end(key, watch, now, "it said goodbye")
            else:
                self._advance(condition, key, group, now)
            if not group.breaches and not group.heard and key not in self.watches:
                del self._groups[key]

    def _forget(self, cell: Cell, now: int) -> None:
        """Let go of a cell: its process said goodbye, its version is replaced, or it is silent for long."""
        things = self._things(cell)
        self._readings.forget(cell)
        for vocabulary, labels in things:
            self._leave(cell, vocabulary, labels, now)
        prefix = _key(MEMORY, *cell) + "/"
        for memory in [memory for memory in self._memories if memory.startswith(prefix)]:
            del self._memories[memory]
            self._dirty[memory] = None

    def _drop_readings(self) -> None:
        for reading in self._readings.gone:
            self._dirty[_key(READING, *map(str, reading.key))] = None
        self._readings.gone.clear()

    def _keep(self, key: Key, watch: Watch) -> None:
        self._dirty[_watch_key(key)] = _encode(watch)

    def _spoken(self) -> list[Change]:
        said, self._said = self._said, []
        return said


def _key(kind: str, *parts: str) -> str:
    return "/".join([kind, *(part.replace("/", "%2F") for part in parts)])


def _watch_key(key: Key) -> str:
    return _key(WATCH, key.rule, *(f"{name}={value}" for name, value in key.group))
