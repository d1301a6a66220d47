"""A state that another version wrote: the detectors begin from nothing and say so; nothing else is lost."""

from __future__ import annotations

import random

import msgspec
import pytest

from shared.drift import detector
from shared.drift.stream.merging import Merger
from shared.drift.stream.partials import Partial
from shared.drift.stream.version import VersionState
from tests.unit.shared.drift.stream.streams import baseline, interleaved, partitions, told_by, watched


@pytest.fixture
def log() -> list[Partial]:
    rng = random.Random(3)
    return interleaved(told_by(watched(baseline()), partitions(2_000, shift_at=0.3, shift=1.0), rng), rng)


def until_alarm(log: list[Partial]) -> tuple[Merger, int]:
    """The merger after its first alarm, and what it has read by then."""
    merger = Merger("drift-counts", 0)
    for offset, partial in enumerate(log):
        if merger.take(iter([(offset, partial)]), offset + 1):
            return merger, offset + 1
    raise AssertionError("no alarm: this shows nothing")


def test_evidence_of_other_bets_is_not_gone_on_with(
    log: list[Partial], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    merger, _ = until_alarm(log)
    before = merger.models["m"].versions["1"].watch("features")
    state = merger.snapshot()
    monkeypatch.setattr(detector, "BETS", detector.BETS + 1)
    start = Merger.resume_at(state)
    again = Merger("drift-counts", 0, start, state)
    watch = again.models["m"].versions["1"].watch("features")
    assert before is not None
    assert watch is not None
    assert watch.detector is not None
    assert (watch.detector.events, watch.latch.active) == (0, {})
    assert watch.rate.events == before.rate.events
    (line,) = [record for record in caplog.records if "begin from nothing" in record.getMessage()]
    assert line.fields["group"] == "features"  # type: ignore[attr-defined]
    assert "another baseline, false-alarm budget or bets" in line.fields["error"]  # type: ignore[attr-defined]
    again.take(iter(list(enumerate(log))[start:]), len(log))
    assert watch.rate.events == 2_000
    assert "x" in watch.latch.active, "the change lasts, so it is found again"


def test_a_group_in_another_layout_begins_from_nothing_after_the_slots_it_had(log: list[Partial]) -> None:
    merger, _ = until_alarm(log)
    version = merger.models["m"].versions["1"]
    taken = version.orders["features"].taken()
    older = msgspec.structs.replace(
        version.snapshot(), groups={"features": msgspec.Raw(msgspec.msgpack.encode([1, 2]))}
    )
    raw = msgspec.msgpack.encode(older)
    again = type(version).restored("m", "1", msgspec.msgpack.decode(raw, type=VersionState))
    watch = again.watch("features")
    assert watch is not None
    assert watch.slot == 0
    assert again.orders["features"].taken() == taken != []
