from __future__ import annotations

import msgspec
import pytest
import yaml

from services.alerting.process import Alerting, decode
from shared.alerting.posting import Outcome
from shared.alerting.rules_file import parse_rules
from shared.errors import DecodeError
from shared.messages import Alert, Silence
from tests.reports import MINUTE, T0, inference, service

DOCUMENT = {
    "defaults": False,
    "rules": [
        {"name": "failing", "reports": "inference", "figure": "failure_ratio", "above": 0.05},
        {"name": "gone", "reports": "service", "absent": "30s", "severity": "critical"},
        {"name": "lag", "reports": "topic", "figure": "lag", "above": 10, "group_by": ["service", "topic"]},
    ],
    "inhibit": [{"when": {"rule": "gone"}, "mute": {"rule": "lag"}, "equal": ["service"]}],
    "receivers": [{"name": "hook", "url": "https://example.org/"}],
}
NOW = T0


def alerting(document: dict[str, object] = DOCUMENT) -> Alerting:
    return Alerting(parse_rules(yaml.safe_dump(document), "test"))


def silence(starts: int, ends: int) -> bytes:
    return msgspec.json.encode(
        Silence(who="ana", at=1, silence_id="s", match={"rule": "fail*"}, starts_at=starts, ends_at=ends)
    )


def told(one: Alerting) -> list[tuple[str, str]]:
    found = []
    while (delivery := one.outbox.due("hook", 1 << 60)) is not None:
        found.append((delivery.alert.rule, delivery.alert.status))
        one.outbox.settle(delivery, Outcome(), 0)
    return found


def test_a_silence_keeps_an_alert_from_being_told_until_it_ends() -> None:
    one = alerting()
    one.command(silence(NOW, NOW + MINUTE), NOW)
    (alert,) = one.take(inference(failures=200), NOW)
    assert alert.muted_by == "silence s"
    assert told(one) == []
    assert one.tick(NOW + 30_000, current=True) == []
    (again,) = one.tick(NOW + MINUTE, current=True)
    assert (again.alert_id, again.muted_by) == (alert.alert_id, None)
    assert told(one) == [("failing", "firing")]
    one.take(inference(minute=1), NOW + 2 * MINUTE)
    assert told(one) == [("failing", "resolved")]


def test_who_heard_of_an_alert_hears_its_end_although_later_news_of_it_was_silenced() -> None:
    rule = DOCUMENT["rules"][0] | {"group_by": [], "tell_again": "10s"}  # type: ignore[index]
    one = alerting(DOCUMENT | {"rules": [rule], "inhibit": []})
    one.take(inference("a", failures=200), NOW)
    assert told(one) == [("failing", "firing")]
    one.command(silence(NOW, NOW + 9 * MINUTE), NOW + 1_000)
    (news,) = one.take(inference("b", minute=1, failures=200), NOW + MINUTE)
    assert news.muted_by == "silence s"
    assert told(one) == []
    assert one.tick(NOW + MINUTE, current=True) == []
    one.take(inference("a", minute=2), NOW + 2 * MINUTE)
    (end,) = one.take(inference("b", minute=2), NOW + 2 * MINUTE)
    assert (end.status, end.muted_by) == ("resolved", None)
    assert told(one) == [("failing", "resolved")]


def test_news_that_a_silence_kept_back_is_told_once_it_ends() -> None:
    rule = DOCUMENT["rules"][0] | {"group_by": [], "tell_again": "10s"}  # type: ignore[index]
    one = alerting(DOCUMENT | {"rules": [rule], "inhibit": []})
    one.take(inference("a", failures=200), NOW)
    one.command(silence(NOW, NOW + 9 * MINUTE), NOW + 1_000)
    one.take(inference("b", minute=1, failures=200), NOW + MINUTE)
    assert told(one) == [("failing", "firing")]
    (news,) = one.tick(NOW + 9 * MINUTE, current=True)
    assert news.muted_by is None
    assert told(one) == [("failing", "firing")]
    assert one.tick(NOW + 10 * MINUTE, current=True) == []


def test_an_alert_nobody_was_told_of_ends_unheard() -> None:
    one = alerting()
    one.command(silence(NOW, NOW + 9 * MINUTE), NOW)
    one.take(inference(failures=200), NOW)
    (alert,) = one.take(inference(minute=1), NOW + MINUTE)
    assert alert.status == "resolved"
    assert told(one) == []


def test_what_explains_an_alert_mutes_it_for_the_same_service_only() -> None:
    one = alerting()
    for name in ("drift", "shadow"):
        one.take(service(name, NOW), NOW)
    one.take(service("shadow", NOW + 40_000), NOW + 40_000)
    assert [a.rule for a in one.tick(NOW + 40_000, current=True)] == ["gone"]
    (first,) = one.take(service("shadow", NOW + 41_000, lag={"events": 99}), NOW + 41_000)
    assert first.muted_by is None
    drift, _ = one.take(service("drift", NOW + 42_000, lag={"events": 99}, instance="b"), NOW + 42_000)
    assert drift.rule in ("gone", "lag")


def test_while_reports_are_old_nothing_is_missed() -> None:
    one = alerting()
    one.take(service("drift", NOW), NOW)
    assert one.tick(NOW + 9 * MINUTE, current=False) == []
    assert [a.rule for a in one.tick(NOW + 9 * MINUTE, current=True)] == ["gone"]


def test_everything_kept_brings_everything_back() -> None:
    one = alerting()
    one.command(silence(NOW, NOW + MINUTE), NOW)
    one.take(inference(failures=200), NOW)
    one.take(inference("n", failures=200), NOW + 2 * MINUTE)
    kept = {key: value for key, value in one.drain().items() if value is not None}
    assert [key.partition("/")[0] for key in kept] == [
        "delivery",
        "silence",
        "watch",
        "watch",
        "reading",
        "reading",
    ]
    two = alerting()
    two.load(kept)
    assert [watch.alert_id for watch in two.watches] == [watch.alert_id for watch in one.watches]
    assert len(two.silences) == 1
    assert told(two) == [("failing", "firing")]


def test_what_is_no_report_is_refused_and_what_a_newer_version_writes_is_not() -> None:
    assert decode(b'{"kind": "of-tomorrow", "x": 1}') is None
    for value in (b"{", b"[]", b'{"kind": "inference"}', b"{}"):
        with pytest.raises(DecodeError):
            decode(value)
    with pytest.raises(DecodeError):
        alerting().command(b'{"kind": "silence", "who": "a"}', NOW)


def test_an_alert_is_what_the_schema_says() -> None:
    (alert,) = alerting().take(inference(failures=200), NOW)
    assert msgspec.json.decode(msgspec.json.encode(alert), type=Alert) == alert
