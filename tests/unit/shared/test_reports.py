from __future__ import annotations

import random
from typing import Any

import msgspec

from shared.messages import Histogram, InferenceReport, ServiceReport, Window
from shared.reports import LatestReports, decode_report, key_of, message_key

NOTHING = Histogram(edges=(1.0,), counts=(0, 0))


def report(partition: int, next_offset: int, *, final: bool = False, start: int = 0) -> InferenceReport:
    return InferenceReport(
        model="m",
        model_version="1",
        window=Window(start=start, end=start + 60_000),
        source_topic="events",
        partition=partition,
        first_offset=0,
        next_offset=next_offset,
        written_at=next_offset,
        final=final,
        predictions=next_offset,
        latency=NOTHING,
        scores=NOTHING,
    )


def test_a_report_survives_its_bytes_and_keeps_its_key() -> None:
    sent = report(3, 7)
    got = decode_report(msgspec.json.encode(sent))
    assert got == sent
    assert message_key(got) == b"inference/m/1/0/events/3"


def test_order_and_repetition_do_not_matter() -> None:
    reports = [report(p, n, final=n == 9) for p in range(3) for n in range(10)]
    for seed in range(20):
        shuffled = random.Random(seed).choices(reports, k=200) + random.Random(seed).sample(reports, 30)
        latest = LatestReports()
        for one in shuffled:
            latest.take(one)
        assert {key_of(one): one.predictions for one in latest} == {key_of(report(p, 9)): 9 for p in range(3)}


def test_what_is_no_news_is_not_taken() -> None:
    latest = LatestReports()
    assert latest.take(report(0, 5))
    assert not latest.take(report(0, 5))
    assert not latest.take(report(0, 4))
    assert latest.take(report(0, 5, final=True))


def test_old_windows_are_forgotten() -> None:
    latest = LatestReports()
    latest.take(report(0, 5, start=0))
    latest.take(report(0, 5, start=60_000))
    latest.forget_before(60_000)
    assert [one.window.start for one in latest] == [60_000]


def alive(instance: str, written_at: int, **fields: Any) -> ServiceReport:
    return ServiceReport(
        service="drift",
        instance=instance,
        version="1",
        started_at=0,
        written_at=written_at,
        interval=5_000,
        **fields,
    )


def test_of_a_service_the_report_written_last_counts_for_each_instance() -> None:
    latest = LatestReports()
    for one in (alive("a", 1), alive("b", 5), alive("a", 3), alive("a", 2), alive("b", 5, stopping=True)):
        latest.take(decode_report(msgspec.json.encode(one)))
    assert [(one.instance, one.written_at, one.stopping) for one in latest] == [
        ("a", 3, False),
        ("b", 5, True),
    ]
    assert message_key(alive("a", 1)) == b"service/drift/a"
    latest.forget_before(4)
    assert [one.instance for one in latest] == ["b"]
