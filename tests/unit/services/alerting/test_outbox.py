from __future__ import annotations

import random

import msgspec
import pytest

from services.alerting.letters import notification_letter
from services.alerting.outbox import LONGEST_BACKOFF_MS, MOST_DONE, MOST_WAITING, Outbox
from shared.alerting.posting import Outcome
from shared.alerting.rules import Receiver
from shared.dead_letters import read_dead_letter
from shared.errors import ProcessError
from shared.messages import Alert, Redeliver

OK, AGAIN, NEVER = Outcome(), Outcome("no", again=True), Outcome("never")
A, B = Receiver(name="a", url="https://x.y"), Receiver(name="b", url="https://x.z", send_resolved=False)


def alert(number: int = 0, status: str = "firing", **fields: object) -> Alert:
    return msgspec.convert(
        {"alert_id": f"id{number}", "rule": "r", "severity": "warning", "status": status, "summary": "s",
         "subject": "s", "started_at": 1, "changed_at": 5 if status == "firing" else 9} | fields,
        Alert,
    )  # fmt: skip


def outbox(*receivers: Receiver) -> Outbox:
    return Outbox(receivers or (A, B), jitter=random.Random(1))


def test_each_receiver_gets_what_it_wants_once() -> None:
    box = outbox(msgspec.structs.replace(A, match={"severity": "critical"}), B)
    assert box.notify(alert(), 0) == ["b"]
    assert box.notify(alert(1, severity="critical"), 0) == ["a", "b"]
    assert box.notify(alert(1, "resolved", severity="critical"), 0) == ["a"]
    assert (box.waiting("a"), box.waiting("b")) == (2, 2)


def test_an_alert_found_again_is_not_told_again() -> None:
    box = outbox()
    box.notify(alert(), 0)
    first = box.due("a", 0)
    assert first is not None
    box.settle(first, OK, 1)
    box.notify(alert(), 2)
    assert box.due("a", 2) is None
    box.notify(alert(changed_at=77), 3)
    assert box.due("a", 3) is not None, "it fired anew"


def test_nobody_hears_of_an_end_before_the_beginning() -> None:
    box = outbox(A)
    box.notify(alert(0), 0)
    box.notify(alert(0, "resolved"), 1)
    box.notify(alert(1), 2)
    first = box.due("a", 2)
    assert first is not None
    assert first.alert.status == "firing"
    box.settle(first, AGAIN, 2)
    other = box.due("a", 2)
    assert other is not None
    assert other.alert.alert_id == "id1", "the end of id0 waits, and holds nobody else up"
    box.settle(other, OK, 2)
    assert box.due("a", 3) is None
    box.settle(first, OK, 700)
    end = box.due("a", 701)
    assert end is not None
    assert end.alert.status == "resolved"


def test_attempts_become_rarer_and_end_after_the_limit() -> None:
    box = outbox(msgspec.structs.replace(A, give_up_after="1h"))
    box.notify(alert(), 0)
    now, pauses = 0, []
    while (delivery := box.due("a", now)) is not None:
        box.settle(delivery, AGAIN, now)
        pauses.append(delivery.next_at - now)
        now = delivery.next_at
    assert 250 <= pauses[0] <= 500 <= pauses[1] <= 1_000
    assert max(pauses) <= LONGEST_BACKOFF_MS
    assert len(set(pauses[10:30])) > 10, "no jitter"
    assert delivery is None
    assert 3_600_000 <= now <= 3_660_000
    assert box.redeliver(Redeliver(who="ana", at=1), now, {"id0"}) == 1
    assert box.due("a", now) is not None


def test_a_receiver_that_asks_for_time_gets_it() -> None:
    box = outbox(A)
    box.notify(alert(), 0)
    delivery = box.due("a", 0)
    assert delivery is not None
    box.settle(delivery, Outcome("busy", again=True, after=120), 0)
    assert delivery.next_at == 120_000


@pytest.mark.parametrize(
    ("asked", "count"), [({}, 1), ({"receiver": "b"}, 0), ({"alert_id": "id1"}, 2), ({"alert_id": "id0"}, 1)]
)
def test_what_is_sent_again(asked: dict[str, str], count: int) -> None:
    box = outbox()
    for number in (0, 1):
        box.notify(alert(number), 0)
        for name in ("a", "b"):
            delivery = box.due(name, 0)
            assert delivery is not None
            box.settle(delivery, NEVER if (number, name) == (0, "a") else OK, 1)
    assert [(one.receiver, one.alert.alert_id) for one in box.given_up()] == [("a", "id0")]
    assert box.given_up() == [], "one letter each"
    assert box.redeliver(Redeliver(who="ana", at=1, **asked), 2, {"id0", "id1"}) == count


def test_what_was_kept_brings_the_queue_back() -> None:
    first, kept = outbox(A), dict[str, bytes | None]()
    for number in range(5):
        first.notify(alert(number), number)
    done = first.due("a", 9)
    assert done is not None
    first.settle(done, OK, 9)
    kept |= first.drain()
    second = outbox(A)
    second.load({key: value for key, value in kept.items() if value is not None})
    assert second.waiting("a") == 4
    second.notify(alert(0), 20)
    assert second.waiting("a") == 4, "delivered before the restart"


HOUR = 3_600_000


def test_what_a_clock_that_was_ahead_queued_goes_out_at_once_and_in_order() -> None:
    ahead = outbox(A)
    ahead.notify(alert(0), 100 * HOUR)  # the process is killed, another one goes on by the true time
    right = outbox(A)
    right.load({key: value for key, value in ahead.drain().items() if value is not None})
    right.notify(alert(0, "resolved"), HOUR)
    again = outbox(A)
    kept = {f"delivery/{one.key}": msgspec.json.encode(one) for one in right._all.values()}
    again.load(dict(reversed(kept.items())))
    for box in (right, again):
        for status in ("firing", "resolved"):
            due = box.due("a", HOUR + 1)
            assert due is not None, "it waits for the moment that the wrong clock showed"
            assert due.alert.status == status
            box.settle(due, OK, HOUR + 1)


@pytest.mark.parametrize(("now", "due"), [(HOUR, False), (HOUR + 60_000, True), (-2 * HOUR, True)])
def test_an_attempt_that_failed_is_waited_for_but_not_longer_than_any_pause(now: int, due: bool) -> None:
    box = outbox(A)
    box.notify(alert(0), HOUR)
    assert attempt(box, AGAIN, HOUR) == ("id0", "firing")
    assert (box.due("a", now) is not None) == due


def test_what_was_delivered_is_remembered_within_bounds() -> None:
    box, kept = outbox(A), set()
    for number in range(MOST_DONE + 200):
        box.notify(alert(number), number)
        delivery = box.due("a", number)
        assert delivery is not None
        box.settle(delivery, OK, number)
        for key, value in box.drain().items():
            (kept.add if value is not None else kept.discard)(key)
    assert len(kept) <= MOST_DONE + 1


def test_a_queue_that_is_too_long_gives_up_its_oldest() -> None:
    box = outbox(A)
    for number in range(MOST_WAITING + 2):
        box.notify(alert(number), number)
    assert box.waiting("a") == MOST_WAITING
    assert [one.alert.alert_id for one in box.given_up()] == ["id0", "id1"]


def test_a_letter_sends_its_notification_again_whatever_is_still_known_of_it() -> None:
    box = outbox(A)
    box.notify(alert(), 0)
    delivery = box.due("a", 0)
    assert delivery is not None
    box.settle(delivery, NEVER, 60_000)
    key, value, headers = notification_letter(box.given_up()[0], "alert-commands", 60_000)
    asked = msgspec.json.decode(value or b"", type=Redeliver)
    reason = read_dead_letter(headers)
    assert reason is not None
    assert (reason.error, reason.field, reason.topic) == ("NotDelivered", "a", "alert-commands")
    assert (
        reason.message
        == "a was not told that r is firing (s): in 1 attempt over 60 s, the last failed with: never"
    )
    for knows in (box, outbox(A)):
        assert knows.redeliver(asked, 70_000, {"id0"}) == 1
        again = knows.due("a", 70_000)
        assert again is not None
        assert (again.key.encode(), again.alert) == (key, delivery.alert)
    with pytest.raises(ProcessError, match="no receiver is called 'a'; there are: b"):
        outbox(B).redeliver(asked, 70_000, {"id0"})


def attempt(box: Outbox, outcome: Outcome, now: int = 1) -> tuple[str, str]:
    """What is tried next."""
    delivery = box.due("a", now)
    assert delivery is not None
    box.settle(delivery, outcome, now)
    return delivery.alert.alert_id, delivery.alert.status


GIVEN_UP: dict[str, Redeliver] = {
    "bulk": Redeliver(who="ana", at=1),
    "letter": Redeliver(who="ana", at=1, receiver="a", alert_id="id0", alert=alert()),
}


@pytest.mark.parametrize("asked", GIVEN_UP.values(), ids=list(GIVEN_UP))
def test_what_is_over_is_not_begun_again(asked: Redeliver) -> None:
    """The beginning went out alone: whoever had heard the end took the alert for one that fires."""
    box = outbox(A)
    box.notify(alert(), 0)
    attempt(box, NEVER)
    box.notify(alert(0, "resolved"), 0)
    attempt(box, OK)
    assert box.redeliver(asked, 2, set()) == 0
    assert box.due("a", 2) is None
    assert outbox(A).redeliver(asked, 2, set()) == 0, "nothing is known of it, and it does not stand"
    whole = Redeliver(who="ana", at=1, alert_id="id0")
    assert box.redeliver(whole, 3, set()) == 1
    assert attempt(box, OK, 3) == ("id0", "resolved"), "what was delivered goes out again by its id"


@pytest.mark.parametrize("outcome", [AGAIN, NEVER])
@pytest.mark.parametrize("asked", GIVEN_UP.values(), ids=list(GIVEN_UP))
def test_an_end_that_nobody_heard_goes_out_behind_its_beginning(asked: Redeliver, outcome: Outcome) -> None:
    box = outbox(A)
    box.notify(alert(), 0)
    attempt(box, NEVER)
    box.notify(alert(0, "resolved"), 0)
    attempt(box, outcome)
    assert box.redeliver(asked, 2, set()) >= 1
    kept = {key: value for key, value in box.drain().items() if value is not None}
    again = outbox(A)
    again.load(kept)
    for one in (box, again):
        assert [attempt(one, OK, 90_000), attempt(one, OK, 90_000)] == [
            ("id0", "firing"),
            ("id0", "resolved"),
        ]
        assert one.due("a", 90_000) is None


def test_what_fires_anew_in_its_window_is_not_over() -> None:
    box = outbox(A)
    for one in (alert(), alert(0, "resolved"), alert(changed_at=77)):
        box.notify(one, 0)
        attempt(box, OK if one.changed_at < 77 else NEVER)
    assert box.redeliver(GIVEN_UP["bulk"], 2, {"id0"}) == 1
    assert box.redeliver(GIVEN_UP["letter"], 2, {"id0"}) == 0, "its first time is over"
