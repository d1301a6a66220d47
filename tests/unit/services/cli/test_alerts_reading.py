"""What the command line makes of the alerts topic and of the alerting service's state."""

from __future__ import annotations

import msgspec
import pytest

from services.cli.alerts_reading import Known, _keep
from shared.alerting.states import Delivery, Watch
from shared.messages import Alert

FIRING = Alert(
    alert_id="a", rule="r", severity="warning", status="firing", summary="s", subject="r", started_at=1,
    changed_at=5,
)  # fmt: skip
OVER = msgspec.structs.replace(FIRING, status="resolved", changed_at=9)


def told(alert: Alert, state: str) -> Delivery:
    return msgspec.convert(
        {
            "key": "k",
            "receiver": "hook",
            "alert": msgspec.to_builtins(alert),
            "created_at": 1,
            "state": state,
        },
        Delivery,
    )


def test_an_alert_that_fires_for_longer_than_its_topic_holds_it_is_listed() -> None:
    known = Known()
    _keep(known, "watch", msgspec.json.encode(Watch("r", (), "a", since=1, fired_at=1, alert=FIRING)))
    _keep(known, "watch", msgspec.json.encode(Watch("r", (), "b", since=1)))
    assert known.alerts == {"a": FIRING}
    assert [watch.alert_id for watch in known.pending] == ["b"]


@pytest.mark.parametrize(
    ("newest", "deliveries", "over"),
    [
        (FIRING, [], False),
        (OVER, [], True),
        (None, [], True),
        (OVER, [told(OVER, "delivered")], True),
        (OVER, [told(OVER, "waiting")], False),
        (OVER, [told(OVER, "given-up")], False),
        (msgspec.structs.replace(FIRING, changed_at=20), [told(OVER, "delivered")], True),
    ],
)
def test_a_beginning_is_sent_again_while_it_stands_or_if_its_end_follows(
    newest: Alert | None, deliveries: list[Delivery], over: bool
) -> None:
    known = Known(alerts={} if newest is None else {"a": newest}, deliveries=deliveries)
    assert known.is_over("hook", FIRING) is over
    assert not known.is_over("hook", OVER)
