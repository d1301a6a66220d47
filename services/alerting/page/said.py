"""What fires, from the service's state, and what was resolved last, from the alerts topic.

The state is compacted: it holds what fires for as long as it does, the topic only as long as its
retention. Every process reads both, so that each shows the same.
"""

from __future__ import annotations

from typing import Final

import msgspec

from services.alerting.page.quiet import Untold
from shared.alerting.states import Watch
from shared.alerting.watching import WATCH
from shared.messages import Alert

MOST_FIRING: Final = 1_000
MOST_RESOLVED: Final = 20
_SEVERITY: Final = {"critical": 0, "warning": 1, "info": 2}

_alert = msgspec.json.Decoder(Alert).decode
_watch = msgspec.json.Decoder(Watch).decode


class SaidAlerts:
    """The newest word on every alert; bounded, the oldest go first."""

    def __init__(self) -> None:
        self._firing: dict[bytes, Alert] = {}
        self._resolved: dict[str, Alert] = {}
        self.untold = Untold()

    def take_state(self, key: bytes, value: bytes) -> None:
        """Take one record of the state topic; an empty value deletes.

        Raises
        ------
        msgspec.DecodeError
            It is no watch although its key says so, or no notification or silence.
        """
        self.untold.take_state(key, value)
        if not key.startswith(f"{WATCH}/".encode()):
            return
        self._firing.pop(key, None)
        alert = _watch(value).alert if value else None
        if alert is not None:
            self._firing[key] = alert
        if len(self._firing) > MOST_FIRING:
            del self._firing[min(self._firing, key=lambda key: self._firing[key].changed_at)]

    def take(self, _: bytes, value: bytes) -> None:
        """Take one record of the alerts topic.

        Raises
        ------
        msgspec.DecodeError
            It is no alert.
        """
        alert = _alert(value)
        former = self._resolved.get(alert.alert_id)
        if alert.status == "firing" or (former is not None and former.changed_at > alert.changed_at):
            return
        self._resolved[alert.alert_id] = alert
        if len(self._resolved) > MOST_RESOLVED:
            del self._resolved[min(self._resolved, key=lambda name: self._resolved[name].changed_at)]

    @property
    def firing(self) -> list[Alert]:
        """What fires, the worst and then the longest first."""
        return sorted(
            self._firing.values(), key=lambda alert: (_SEVERITY.get(alert.severity, 9), alert.started_at)
        )

    @property
    def resolved(self) -> list[Alert]:
        """What was resolved last, the newest first; what fires anew since is not among it."""
        firing = {alert.alert_id for alert in self._firing.values()}
        over = [alert for name, alert in self._resolved.items() if name not in firing]
        return sorted(over, key=lambda alert: -alert.changed_at)
