"""What has been said of each alert last, from the alerts topic: every process shows the same."""

from __future__ import annotations

from typing import Final

import msgspec

from shared.messages import Alert

MOST_FIRING: Final = 1_000
MOST_RESOLVED: Final = 20
_SEVERITY: Final = {"critical": 0, "warning": 1, "info": 2}

_decode = msgspec.json.Decoder(Alert).decode


class SaidAlerts:
    """The newest word on every alert; bounded, the oldest go first."""

    def __init__(self) -> None:
        self._firing: dict[str, Alert] = {}
        self._resolved: dict[str, Alert] = {}

    def take(self, value: bytes) -> None:
        """Take one record of the alerts topic.

        Raises
        ------
        msgspec.DecodeError
            It is no alert.
        """
        alert = _decode(value)
        former = self._firing.get(alert.alert_id) or self._resolved.get(alert.alert_id)
        if former is not None and former.changed_at > alert.changed_at:
            return
        self._firing.pop(alert.alert_id, None)
        self._resolved.pop(alert.alert_id, None)
        where, most = (
            (self._firing, MOST_FIRING) if alert.status == "firing" else (self._resolved, MOST_RESOLVED)
        )
        where[alert.alert_id] = alert
        if len(where) > most:
            del where[min(where, key=lambda name: where[name].changed_at)]

    @property
    def firing(self) -> list[Alert]:
        """What fires, the worst and then the longest first."""
        return sorted(
            self._firing.values(), key=lambda alert: (_SEVERITY.get(alert.severity, 9), alert.started_at)
        )

    @property
    def resolved(self) -> list[Alert]:
        """What was resolved last, the newest first."""
        return sorted(self._resolved.values(), key=lambda alert: -alert.changed_at)
