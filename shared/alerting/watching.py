"""The life of alerts: nothing to pending, pending to firing, firing to resolved; pure.

Every change happens at a time that the reports say, whenever somebody looks: a tick and a replay without
ticks come to the same ids and times.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from shared.alerting.conditions import Condition
from shared.alerting.groups import Group, Key
from shared.alerting.readings import MISSED
from shared.alerting.states import Origin, Watch, alert_id, record_key
from shared.alerting.vocabulary import Labels
from shared.alerting.wording import firing, resolved
from shared.messages import Alert

WATCH: Final = "watch"
"""First part of a record's key."""


class Change(NamedTuple):
    """An alert that began to fire or was resolved, and what is remembered of it."""

    alert: Alert
    watch: Watch


class Watching:
    """Every alert that is pending or fires, and what was said of them since the last call of `said`."""

    def __init__(self) -> None:
        self._dirty: dict[str, bytes | None] = {}
        self._said: list[Change] = []
        self.watches: dict[Key, Watch] = {}
        self.origin: Origin | None = None
        """Of the report that is being acted on; None while time passes."""

    def load(self, records: Mapping[str, bytes]) -> None:
        """Take back what :meth:`drain` handed out."""
        for key, value in records.items():
            if key.startswith(WATCH + "/"):
                watch = msgspec.json.decode(value, type=Watch)
                self.watches[Key(watch.rule, watch.group)] = watch

    def drain(self) -> dict[str, bytes | None]:
        """Return the records to keep since the last call, ``None`` for those to delete."""
        dirty, self._dirty = self._dirty, {}
        return dirty

    def said(self) -> list[Change]:
        """Return what was said since the last call."""
        said, self._said = self._said, []
        return said

    def note(self, watch: Watch, *, muted_by: str | None) -> None:
        """Remember that receivers were told of an alert, or what muted its news."""
        watch.notified = watch.notified or muted_by is None
        if watch.alert is not None:
            watch.alert = msgspec.structs.replace(watch.alert, muted_by=muted_by)
        if self.watches.get(Key(watch.rule, watch.group)) is watch:  # else it is over already
            self._keep(watch)

    def advance(self, condition: Condition, key: Key, group: Group, now: int, because: str = "") -> None:
        """Move one alert on by what is known of its group."""
        watch = self.watches.get(key)
        if watch is not None and now < watch.since:
            return  # a report of before it, read once more: what it led to has been said
        if group.breaches:
            if watch is None:
                watch = self._begin(key, min(found.window for _, found in group.breaches.values()), now)
            elif watch.clear_since:
                watch.clear_since = 0
                self._keep(watch)
            self._fire_if_due(condition, watch, group, now)
            self._tell_again(condition, watch, group, now)
        elif watch is not None:
            self._clear(condition, key, watch, now, because)

    def catch_up(self, condition: Condition, key: Key, group: Group | None, now: int) -> None:
        """Let an alert fire that has held long enough by now, or end, whatever a new report says.

        A tick would have found it; so a replay, which has no ticks, finds it here.
        """
        watch = self.watches.get(key)
        if watch is None or group is None:
            return
        if group.breaches:
            self._fire_if_due(condition, watch, group, now)
        elif watch.clear_since:
            self._clear(condition, key, watch, now, "")

    def miss(self, condition: Condition, key: Key, group: Group, now: int) -> None:
        """Move the alert of an absence on."""
        last, interval = group.last
        if condition.absent is None or not last:
            return
        due = last + max(condition.absent, MISSED * interval)
        if now <= due:
            return
        watch = self.watches.get(key) or self._begin(key, last, due)
        self._fire_if_due(condition, watch, group, now, silent=due + condition.hold - last)

    def over(self, key: Key, labels: Labels, now: int) -> None:
        """Note that a rule holds no more for one thing of a group: the next time is news again."""
        watch = self.watches.get(key)
        if watch is None or watch.alert is None or labels not in watch.told:
            return
        if watch.alert.changed_at < now:  # else a report of before, read once more
            watch.told.remove(labels)
            self._keep(watch)

    def end(self, key: Key, now: int, because: str) -> None:
        """Resolve an alert, or drop one that never fired; nothing where there is none."""
        watch = self.watches.pop(key, None)
        if watch is None:
            return
        self._dirty[_record(key)] = None
        if watch.alert is not None:
            self._said.append(Change(resolved(watch, now, because), watch))

    def _begin(self, key: Key, window: int, since: int) -> Watch:
        watch = Watch(key.rule, key.group, alert_id(key.rule, key.group, window), since=since)
        if self.origin is not None:
            watch.report, watch.traceparent = self.origin
        self.watches[key] = watch
        self._keep(watch)
        return watch

    def _clear(self, condition: Condition, key: Key, watch: Watch, now: int, because: str) -> None:
        """Resolve an alert once its rule has held no more for long enough; it matters not when we look."""
        over = (watch.clear_since or now) + condition.keep_firing
        if not watch.fired_at:
            self.end(key, now, because)
        elif now >= over:
            self.end(key, over, because)
        elif not watch.clear_since:
            watch.clear_since = now
            self._keep(watch)

    def _fire_if_due(
        self, condition: Condition, watch: Watch, group: Group, now: int, silent: int | None = None
    ) -> None:
        if watch.fired_at or now - watch.since < condition.hold:
            return
        watch.fired_at = watch.since + condition.hold
        watch.alert = firing(condition, watch, group.breaches, at=watch.fired_at, silent=silent)
        if condition.tell_again is not None:
            watch.told = [labels for labels, _ in group.breaches.values()]
        self._keep(watch)
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
        self._keep(watch)
        self._said.append(Change(watch.alert, watch))

    def _keep(self, watch: Watch) -> None:
        self._dirty[_record(Key(watch.rule, watch.group))] = msgspec.json.encode(watch)


def _record(key: Key) -> str:
    return record_key(WATCH, key.rule, *(f"{name}={value}" for name, value in key.group))
