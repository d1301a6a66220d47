"""From reports to alerts that fire and resolve: pure, without Kafka, clock or network.

Time is the reports' own (``written_at``), so that a replay of the same reports comes to the same ids.
Only two things need a clock: something that is *not* reported, and a condition that goes on while
nothing more is said. :meth:`Engine.tick` does those, and must only be called while reports are read as
they are written.

What it knows is handed out as records to be kept (:meth:`Engine.drain`), alerts before the readings
they came from: a process that is killed between two writes finds the same again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from shared.alerting.conditions import Condition
from shared.alerting.groups import Group, Key
from shared.alerting.judging import Finding
from shared.alerting.knowledge import Knowledge, Named
from shared.alerting.readings import Cell, read
from shared.alerting.states import Origin, Watch
from shared.alerting.vocabulary import Labels
from shared.alerting.watching import Change, Watching
from shared.messages import Report, ServiceReport

FORGET_AFTER: Final = 86_400_000
"""What has not been reported on for a day is watched no more, and its alerts are resolved.

Not a service that is missed: nothing came back, so its alert stands.
"""

_A_DAY: Final = "nothing has been reported on it for a day"


class Engine:
    """Applies rules to reports.

    Parameters
    ----------
    conditions
        The rules, made ready.
    """

    def __init__(self, conditions: Iterable[Condition]) -> None:
        self._conditions = {condition.name: condition for condition in conditions}
        self._known = Knowledge(self._conditions.values())
        self._watching = Watching()
        self._groups: dict[Key, Group] = {}
        self._outlived: set[Cell] = set()
        self._expected = [one for one in self._conditions.values() if one.expected is not None]
        self.note = self._watching.note

    @property
    def watches(self) -> dict[Key, Watch]:
        """Every alert that is pending or fires."""
        return self._watching.watches

    def load(self, records: Mapping[str, bytes]) -> None:
        """Take back what :meth:`drain` handed out, by its key; call it once, first of all.

        A rule that is new is applied with the next report of each thing; the alerts of one that is gone are
        resolved.
        """
        self._known.load(records)
        self._watching.load(records)
        for cell, at in list(self._known.readings.cells()):
            if self._known.readings.outlived(cell):
                self._outlived.add(cell)
            for condition, labels, finding in self._known.findings(cell, at):
                if finding is not None and (condition.absent is not None or cell not in self._outlived):
                    self._put(condition, cell, labels, finding, at)
        for key, watch in list(self.watches.items()):
            if key.rule not in self._conditions:
                self._watching.end(key, watch.fired_at, "the rule is gone")

    def take(self, report: Report | ServiceReport, origin: Origin | None = None) -> list[Change]:
        """Return the alerts that begin to fire or are resolved because of a report.

        Parameters
        ----------
        origin
            Where the report lies: what begins with it names it.
        """
        self._watching.origin = origin
        self._hear(report)
        self._watching.origin = None
        return self._watching.said()

    def _hear(self, report: Report | ServiceReport) -> None:
        reading = read(report)
        if reading is None:
            return
        cell, now = reading.key[:3], reading.written_at
        former = self._known.things(cell)
        if not self._known.take(reading):
            return
        if isinstance(report, ServiceReport) and report.stopping:
            self._forget(cell, now, "it said goodbye")
        else:
            self._outlive(cell, now)
            self._look(cell, now)
            self._leave(cell, former - self._known.things(cell), now, "it is reported on no more")
        for other, because in self._known.outdated(reading):
            self._forget(other, now, because)

    def tick(self, now: int) -> list[Change]:
        """Return the alerts that begin to fire or are resolved because time has passed."""
        self._expect(now)
        self._forget_silent(now)
        for key, group in list(self._groups.items()):
            condition, watch = self._conditions[key.rule], self.watches.get(key)
            if condition.absent is not None:
                self._watching.miss(condition, key, group, now)
            elif watch is not None and (group.breaches or watch.clear_since):
                # Only a report begins an alert or resolves it at once: after a kill in the middle of a
                # write, the report that an alert rests on, or that ended it, may not be kept yet, and is
                # about to be read again.
                self._watching.advance(condition, key, group, now)
        for key, watch in list(self.watches.items()):
            if key not in self._groups and now - watch.since > FORGET_AFTER:
                self._watching.end(key, watch.since + FORGET_AFTER, _A_DAY)
        return self._watching.said()

    def drain(self) -> dict[str, bytes | None]:
        """Return the records to keep since the last call, ``None`` for those to delete, in order."""
        return self._watching.drain() | self._known.drain()

    def _look(self, cell: Cell, now: int) -> None:
        """Apply every rule to everything that a cell speaks of."""
        for condition, labels, finding in self._known.findings(cell, now):
            if finding is None:
                continue  # nothing says enough, and what was found before stands
            key = Key(condition.name, condition.group_of(labels))
            self._watching.catch_up(condition, key, self._groups.get(key), now)
            group = self._put(condition, cell, labels, finding, now)
            if condition.absent is None:
                self._watching.advance(condition, key, group, now)
            elif group.last[0] >= now:
                self._watching.end(key, now, "")

    def _put(self, condition: Condition, cell: Cell, labels: Labels, finding: Finding, now: int) -> Group:
        """Note in its group what a rule finds in a thing."""
        key = Key(condition.name, condition.group_of(labels))
        group = self._groups.setdefault(key, Group())
        if condition.absent is not None:
            group.hear((cell, labels), finding.window, self._known.readings.interval(cell))
            return group
        group.put((cell, labels), finding, now)
        if not group.holds(labels):
            self._watching.over(key, labels, now)
        return group

    def _expect(self, now: int) -> None:
        """Begin to wait, once, for who is named by a rule outright and was never heard of."""
        for condition in self._expected:
            key = Key(condition.name, condition.expected or ())
            self._groups.setdefault(key, Group(expected=now))
        self._expected = []

    def _outlive(self, cell: Cell, now: int) -> None:
        """Let go of what other processes of the service said that are gone; they are missed all the same."""
        self._outlived.discard(cell)
        for other in self._known.readings.siblings(cell):
            if other not in self._outlived and self._known.readings.outlived(other):
                self._outlived.add(other)
                gone = "the process that said so is gone, and the service goes on"
                self._leave(other, self._known.things(other), now, gone, heard=True)

    def _leave(
        self, cell: Cell, things: Iterable[Named], now: int, because: str, *, heard: bool = False
    ) -> None:
        """Let go of things that their cell does not speak of any more.

        Parameters
        ----------
        heard
            Whether it still counts when the cell was last heard of.
        """
        for named in things:
            for condition in self._known.about(named):
                key = Key(condition.name, condition.group_of(named[1]))
                group = self._groups.get(key)
                if group is None or (heard and condition.absent is not None):
                    continue
                group.release((cell, named[1]))
                if condition.absent is None:
                    self._watching.advance(condition, key, group, now, because)
                elif not group.heard:
                    self._watching.end(key, now, because)
                if group.empty and key not in self.watches:
                    del self._groups[key]

    def _forget(self, cell: Cell, now: int, because: str) -> None:
        """Let go of a cell: its process said goodbye, its version is replaced, or it is silent for long."""
        things = self._known.things(cell)
        self._known.forget(cell)
        self._outlived.discard(cell)
        self._leave(cell, things, now, because)

    def _forget_silent(self, now: int) -> None:
        """Forget what has been silent for a day; not who is missed, and was followed by nobody."""
        if silent := self._known.readings.silent_since(now - FORGET_AFTER):
            missed = {group.speaker for group in self._groups.values()} - self._outlived
            for cell, seen in silent:
                if cell[0] != "service" or cell not in missed:
                    self._forget(cell, seen + FORGET_AFTER, _A_DAY)
