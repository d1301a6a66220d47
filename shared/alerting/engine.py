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
from typing import Final, NamedTuple

import msgspec

from shared.alerting.conditions import Condition, matches
from shared.alerting.groups import Group, Key
from shared.alerting.judging import Finding, judge
from shared.alerting.readers import KINDS, VOCABULARIES
from shared.alerting.readings import MISSED, Cell, Readings, read
from shared.alerting.states import Memory, Reading, Watch, alert_id
from shared.alerting.vocabulary import Labels
from shared.alerting.wording import firing, resolved
from shared.messages import Alert, Report, ServiceReport

FORGET_AFTER: Final = 86_400_000
"""What has not been reported on for a day is watched no more, and its alerts are resolved.

Not a service that is missed: nothing came back, so its alert stands.
"""

SUPERSEDED_AFTER: Final = 60_000
"""A version that is not in its model's newest window, and silent so long, answers no more."""

_A_DAY: Final = "nothing has been reported on it for a day"

READING, WATCH, MEMORY = "reading", "watch", "memory"
_encode = msgspec.json.encode


class Change(NamedTuple):
    """An alert that began to fire or was resolved, and what is remembered of it."""

    alert: Alert
    watch: Watch


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
        self._groups: dict[Key, Group] = {}
        self._outlived: set[Cell] = set()
        self._expected = [one for one in self._conditions.values() if one.expected is not None]
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
        for cell, at in list(self._readings.cells()):
            if self._readings.outlived(cell):
                self._outlived.add(cell)
            for condition, labels, finding in self._findings(cell, at):
                if condition.absent is not None:
                    self._hear(condition, cell, labels, finding)
                elif finding is not None and cell not in self._outlived:
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
            self._forget(cell, now, "it said goodbye")
        else:
            self._dirty[_key(READING, *map(str, reading.key))] = _encode(reading)
            self._outlive(cell, now)
            self._look(cell, now)
            self._leave(cell, former - self._things(cell), now, "it is reported on no more")
        for other in self._readings.superseded(reading, SUPERSEDED_AFTER):
            self._forget(other, now, "another version answers")
        for other in self._readings.crowded():
            self._forget(other, now, "too much is watched, and this was reported on longest ago")
        self._drop_readings()
        return self._spoken()

    def tick(self, now: int) -> list[Change]:
        """Return the alerts that begin to fire or are resolved because time has passed."""
        self._expect(now)
        self._forget_silent(now)
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
                self._end(key, watch, watch.since + FORGET_AFTER, _A_DAY)
        return self._spoken()

    def drain(self) -> dict[str, bytes | None]:
        """Return the records to keep since the last call, ``None`` for those to delete, in order."""
        order = {WATCH: 0, MEMORY: 1, READING: 2}
        dirty = sorted(self._dirty.items(), key=lambda item: order[item[0].partition("/")[0]])
        self._dirty.clear()
        return dict(dirty)

    def note(self, watch: Watch, *, muted_by: str | None) -> None:
        """Remember that receivers were told of an alert, or what muted its news."""
        watch.notified = watch.notified or muted_by is None
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

    def _expect(self, now: int) -> None:
        """Begin to wait, once, for who is named by a rule outright and was never heard of."""
        for condition in self._expected:
            key = Key(condition.name, condition.expected or ())
            self._groups.setdefault(key, Group(expected=now))
        self._expected = []

    def _outlive(self, cell: Cell, now: int) -> None:
        """Let go of what other processes of the service said that are gone, and missed by nobody."""
        self._outlived.discard(cell)
        for other in self._readings.siblings(cell):
            if other not in self._outlived and self._readings.outlived(other):
                self._outlived.add(other)
                gone = "the process that said so is gone, and the service goes on"
                self._leave(other, self._things(other), now, gone, heard=True)

    def _look(self, cell: Cell, now: int) -> None:
        """Apply every rule to everything that a cell speaks of."""
        for condition, labels, finding in self._findings(cell, now):
            if condition.absent is not None:
                key = self._hear(condition, cell, labels, finding)
                watch = self.watches.get(key)
                if watch is not None and self._groups[key].last[0] >= now:
                    self._end(key, watch, now, "")
            elif finding is not None:  # else nothing says enough, and what was found before stands
                self._catch_up(condition, labels, now)
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
                    remembered = _memory_key(condition, cell, labels)
                    memory = self._memories.get(remembered) or Memory()
                    others = self._elsewhere(condition, cell, labels)
                    yield condition, labels, judge(condition, windows, memory, now, others)
                    if memory.points:
                        self._memories[remembered] = memory
                        self._dirty[remembered] = _encode(memory)

    def _elsewhere(self, condition: Condition, cell: Cell, labels: Labels) -> list[Memory]:
        """Return what is remembered of the same thing as other processes of the service saw it."""
        if condition.rate_over is None or not condition.vocabulary.shared:
            return []
        keys = [_memory_key(condition, other, labels) for other in self._readings.siblings(cell)]
        return [self._memories[key] for key in keys if key in self._memories]

    def _hear(self, condition: Condition, cell: Cell, labels: Labels, finding: Finding | None) -> Key:
        key = Key(condition.name, condition.group_of(labels))
        if finding is not None:
            group = self._groups.setdefault(key, Group())
            group.heard[cell] = (finding.window, self._readings.interval(cell))
            group.expected = 0
        return key

    def _put(self, condition: Condition, cell: Cell, labels: Labels, finding: Finding, now: int) -> Key:
        """Note in its group whether a rule holds for a thing; one in which it is over is news again."""
        key = Key(condition.name, condition.group_of(labels))
        group = self._groups.setdefault(key, Group())
        group.put((cell, labels), finding, now)
        watch = self.watches.get(key)
        told_before = watch is not None and watch.alert is not None and watch.alert.changed_at < now
        if watch is not None and told_before and labels in watch.told and not group.holds(labels):
            watch.told.remove(labels)
            self._keep(key, watch)
        return key

    def _catch_up(self, condition: Condition, labels: Labels, now: int) -> None:
        """Let an alert fire that has held long enough by now, or end, whatever the new report says.

        A tick would have found it; so a replay, which has no ticks, finds it here.
        """
        key = Key(condition.name, condition.group_of(labels))
        watch, group = self.watches.get(key), self._groups.get(key)
        if watch is None or group is None:
            return
        if group.breaches:
            self._fire_if_due(condition, watch, group, now)
        elif watch.clear_since:
            self._clear(condition, key, watch, now, "")

    def _advance(self, condition: Condition, key: Key, group: Group, now: int, because: str = "") -> None:
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
        elif watch is not None:
            self._clear(condition, key, watch, now, because)

    def _clear(self, condition: Condition, key: Key, watch: Watch, now: int, because: str) -> None:
        """Resolve an alert once its rule has held no more for long enough; it matters not when we look."""
        over = (watch.clear_since or now) + condition.keep_firing
        if not watch.fired_at:
            self._end(key, watch, now, because)
        elif now >= over:
            self._end(key, watch, over, because)
        elif not watch.clear_since:
            watch.clear_since = now
            self._keep(key, watch)

    def _fire_if_due(self, condition: Condition, watch: Watch, group: Group, now: int) -> None:
        if not watch.fired_at and now - watch.since >= condition.hold:
            self._fire(condition, watch, group)

    def _fire(self, condition: Condition, watch: Watch, group: Group, silent: int | None = None) -> None:
        watch.fired_at = watch.since + condition.hold
        watch.alert = firing(condition, watch, group.breaches, at=watch.fired_at, silent=silent)
        if condition.tell_again is not None:
            watch.told = [labels for labels, _ in group.breaches.values()]
        self._keep(Key(watch.rule, watch.group), watch)
        self._said.append(Change(watch.alert, watch))

    def _tell_again(self, condition: Condition, watch: Watch, group: Group, now: int) -> None:
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

    def _miss(self, condition: Condition, key: Key, group: Group, now: int) -> None:
        """Move the alert of an absence on."""
        last, interval = group.last
        if condition.absent is None or not last:
            return
        due = last + max(condition.absent, MISSED * interval)
        if now <= due:
            return
        watch = self.watches.get(key)
        if watch is None:
            watch = Watch(key.rule, key.group, alert_id(key.rule, key.group, last), since=due)
            self.watches[key] = watch
            self._keep(key, watch)
        if not watch.fired_at and now - watch.since >= condition.hold:
            self._fire(condition, watch, group, silent=due + condition.hold - last)

    def _end(self, key: Key, watch: Watch, now: int, because: str) -> None:
        """Resolve an alert, or drop one that never fired."""
        del self.watches[key]
        self._dirty[_watch_key(key)] = None
        if watch.alert is not None:
            self._said.append(Change(resolved(watch, now, because), watch))

    def _leave(
        self, cell: Cell, things: Iterable[tuple[str, Labels]], now: int, because: str, *, heard: bool = False
    ) -> None:
        """Let go of things that their cell does not speak of any more.

        Parameters
        ----------
        heard
            Whether it still counts when the cell was last heard of.
        """
        for vocabulary, labels in things:
            for condition in self._by_vocabulary.get(vocabulary, ()):
                key = Key(condition.name, condition.group_of(labels))
                group = self._groups.get(key)
                if group is None or (heard and condition.absent is not None):
                    continue
                group.release((cell, labels))
                if condition.absent is None:
                    self._advance(condition, key, group, now, because)
                else:
                    group.heard.pop(cell, None)
                    if not group.heard and (watch := self.watches.get(key)) is not None:
                        self._end(key, watch, now, because)
                if group.empty and key not in self.watches:
                    del self._groups[key]

    def _forget(self, cell: Cell, now: int, because: str) -> None:
        """Let go of a cell: its process said goodbye, its version is replaced, or it is silent for long."""
        things = self._things(cell)
        self._readings.forget(cell)
        self._outlived.discard(cell)
        self._leave(cell, things, now, because)
        prefix = _key(MEMORY, *cell) + "/"
        for memory in [memory for memory in self._memories if memory.startswith(prefix)]:
            del self._memories[memory]
            self._dirty[memory] = None

    def _forget_silent(self, now: int) -> None:
        if silent := self._readings.silent_since(now - FORGET_AFTER):
            missed = {group.speaker for group in self._groups.values()}
            for cell, seen in silent:
                if cell[0] != "service" or cell not in missed:
                    self._forget(cell, seen + FORGET_AFTER, _A_DAY)
            self._drop_readings()

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


def _memory_key(condition: Condition, cell: Cell, labels: Labels) -> str:
    return _key(MEMORY, *cell, condition.name, *(value for _, value in labels))


def _watch_key(key: Key) -> str:
    return _key(WATCH, key.rule, *(f"{name}={value}" for name, value in key.group))
