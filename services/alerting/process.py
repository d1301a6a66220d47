"""Reports and commands in, alerts and notifications out: pure, without Kafka, clock or network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from services.alerting.outbox import Outbox
from services.alerting.positions import Positions
from shared.alerting.conditions import matches
from shared.alerting.engine import Engine
from shared.alerting.muting import alert_labels, muted_by
from shared.alerting.rules import Receiver
from shared.alerting.rules_file import Rulebook
from shared.alerting.states import Origin, Watch
from shared.alerting.watching import Change
from shared.errors import DecodeError
from shared.messages import NOT_JSON, Alert, Redeliver, Report, ServiceReport, Silence
from shared.reports import decode_report

SILENCE: Final = "silence"
"""First part of a record's key."""

_KNOWN: Final = frozenset({"decision", "drift", "inference", "performance", "service", "shadow"})


class _Kind(msgspec.Struct):
    """The one field that says what a report is."""

    kind: str = ""


_kind = msgspec.json.Decoder(_Kind).decode
_command = msgspec.json.Decoder(Silence | Redeliver).decode


def decode(value: bytes) -> Report | ServiceReport | None:
    """Return a report, ``None`` of a kind that only a newer version knows.

    Raises
    ------
    DecodeError
        The bytes are no report.
    """
    try:
        return decode_report(value)
    except NOT_JSON as error:
        try:
            kind = _kind(value).kind
        except NOT_JSON:
            kind = ""
        if kind and kind not in _KNOWN:
            return None
        raise DecodeError(f"no report: {error}") from error


class Alerting:
    """Everything that alerting knows, and what follows from what it hears.

    Parameters
    ----------
    rulebook
        Rules, inhibitions and receivers.
    group
        Consumer group, whose positions are kept with the rest.
    """

    def __init__(self, rulebook: Rulebook, group: str = "") -> None:
        self._rulebook = rulebook
        self._engine = Engine(rulebook.conditions)
        self._silences: dict[str, Silence] = {}
        self._dirty: dict[str, bytes | None] = {}
        self.outbox = Outbox(rulebook.receivers)
        self.positions = Positions(group)
        """How far reports and commands have been acted on; drained for itself, to be written last."""

    @property
    def watches(self) -> list[Watch]:
        """Every alert that is pending or fires."""
        return list(self._engine.watches.values())

    @property
    def silences(self) -> list[Silence]:
        """Every silence that is remembered, over or not."""
        return list(self._silences.values())

    def load(self, records: Mapping[str, bytes]) -> None:
        """Take back the records of :meth:`drain`; call it once, first of all."""
        for key, value in records.items():
            if key.startswith(SILENCE + "/"):
                silence = msgspec.json.decode(value, type=Silence)
                self._silences[silence.silence_id] = silence
        self.outbox.load(records)
        self.positions.load(records)
        self._engine.load(records)

    def take(self, report: Report | ServiceReport, now: int, origin: Origin | None = None) -> list[Alert]:
        """Return the alerts to publish because of a report; notifications go to the outbox."""
        return self._act(self._engine.take(report, origin), now)

    def command(self, value: bytes, now: int) -> str:
        """Carry out a command; return what was done, for the log.

        Raises
        ------
        DecodeError
            The bytes are no command.
        """
        try:
            command = _command(value)
        except NOT_JSON as error:
            raise DecodeError(f"no command: {error}") from error
        if isinstance(command, Redeliver):
            standing = {watch.alert_id for watch in self.watches if watch.alert is not None}
            count = self.outbox.redeliver(command, now, standing)
            return f"{count} notifications queued again" if count else "nothing queued again: it is over"
        self._silences[command.silence_id] = command
        self._dirty[f"{SILENCE}/{command.silence_id}"] = msgspec.json.encode(command)
        return f"silence {command.silence_id}"

    def tick(self, now: int, *, current: bool) -> list[Alert]:
        """Return the alerts to publish because time has passed.

        Parameters
        ----------
        current
            Whether reports are read as they are written: else nothing can be missed or go on.
        """
        for name, silence in list(self._silences.items()):
            if silence.ends_at <= now:
                del self._silences[name]
                self._dirty[f"{SILENCE}/{name}"] = None
        said = self._act(self._engine.tick(now), now) if current else []
        return said + self._unmuted(now)

    def standing(self, receiver: Receiver) -> list[Alert]:
        """Return the alerts that fire and that a receiver was to be told of."""
        return [
            watch.alert
            for watch in self.watches
            if watch.alert is not None
            and watch.notified
            and matches(receiver.match, alert_labels(watch.alert))
        ]

    def drain(self) -> dict[str, bytes | None]:
        """Return the records to keep, in the order in which to write them.

        Notifications and alerts come before the readings they rest on: whoever is killed in between
        finds the same alert again, and its notification is in the queue already.
        """
        silences, self._dirty = self._dirty, {}
        return self.outbox.drain() | silences | self._engine.drain()

    def _act(self, changes: list[Change], now: int) -> list[Alert]:
        said = []
        for change in changes:
            alert, watch = change
            if alert.status == "firing":
                said.append(self._tell(watch, alert, now))
                continue
            if watch.notified:  # also where later news of it was muted: who heard of it hears its end
                alert = msgspec.structs.replace(alert, muted_by=None)
                self.outbox.notify(alert, now)
            said.append(alert)
        return said

    def _tell(self, watch: Watch, alert: Alert, now: int) -> Alert:
        """Notify receivers of an alert that fires, unless something mutes it."""
        muted = self._muted_by(alert, now)
        alert = msgspec.structs.replace(alert, muted_by=muted)
        if muted is None:
            self.outbox.notify(alert, now)
        self._engine.note(watch, muted_by=muted)
        return alert

    def _unmuted(self, now: int) -> list[Alert]:
        """Tell of the alerts that were muted and are no longer."""
        said = []
        for watch in self.watches:
            if watch.alert is None or watch.alert.muted_by is None:
                continue
            if self._muted_by(watch.alert, now) is None:
                said.append(self._tell(watch, watch.alert, now))
        return said

    def _muted_by(self, alert: Alert, now: int) -> str | None:
        firing = [watch.alert for watch in self.watches if watch.alert is not None]
        return muted_by(alert, self._silences.values(), self._rulebook.inhibitions, firing, now)
