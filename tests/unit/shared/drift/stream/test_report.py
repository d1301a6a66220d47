"""The report: bounded in size, honest about what is not watched, and about a version that comes back."""

from __future__ import annotations

import dataclasses
import random
from itertools import pairwise

import msgspec
import numpy as np
import pytest

from services.cli.drift_reading import Watched as Reported
from services.cli.drift_view import headline
from shared.bundle.spec import FeatureSpec, ModelSpec, OutputSpec
from shared.drift import Baseline, fit_baseline
from shared.drift.stream.counting import SourcePartition
from shared.drift.stream.counting import countable as countable_rows
from shared.drift.stream.merging import Merger
from shared.drift.stream.offline import OfflineDrift
from shared.drift.stream.partials import Partial
from shared.drift.stream.reading import Rows
from shared.kafka.records import Records
from shared.messages import DriftReport
from tests.unit.shared.drift.stream.streams import (
    SPEC,
    Record,
    baseline,
    count,
    interleaved,
    merge,
    partitions,
    told_by,
    watched,
)

MIB = 1 << 20


def columns(records: list[Record]) -> Records:
    offsets, stamps = [r.offset for r in records], [r.timestamp for r in records]
    nothing = [None] * len(records)
    values = [r.value for r in records]
    return Records("events", 0, 0, len(records), offsets, stamps, nothing, values, [()] * len(records))


def test_a_report_of_two_hundred_features_is_far_below_a_mebibyte() -> None:
    rng = np.random.default_rng(1)
    names = [f"a feature with a long name {i}" for i in range(200)]
    rows = {
        name: rng.normal(size=3_000)
        if i % 2
        else [f"a long category {c}" for c in rng.integers(0, 60, 3_000)]
        for i, name in enumerate(names)
    }
    kinds = {name: "numeric" if i % 2 else "categorical" for i, name in enumerate(names)}
    fitted = fit_baseline(rows, kinds)  # type: ignore[arg-type]
    spec = ModelSpec(
        name="m",
        version="1",
        task="regression",
        output=OutputSpec(score="y"),
        features=tuple(
            FeatureSpec(
                name=name, kind=kinds[name], dtype="float32" if i % 2 else "string", encoding="string"
            )  # type: ignore[arg-type]
            for i, name in enumerate(names)
        ),
    )
    records = []
    for i in range(640):
        features = {name: f"new {i % 30}" if kinds[name] == "categorical" else 9.0 for name in names}
        event = {"event_id": str(i), "occurred_at": 1_000_000 + i, "features": features}
        records.append(Record(i, 5_000_000 + i, msgspec.json.encode(event)))
    offline = OfflineDrift(watched(fitted, spec), 1, "events")
    offline.add(columns(records))
    report = offline.finish()[-1]
    assert len(report.channels) >= 200
    assert len(report.alarming) > 150
    assert len(msgspec.json.encode(report)) < MIB // 2


def test_what_is_no_event_is_counted_by_reason_and_the_rest_is_watched() -> None:
    good = partitions(2_000, 1)[0]
    bad = [b"{", b'{"occurred_at": 1, "features": {"x": 1, "c": "a"}, "model": "another"}', b"null"]
    late = b'{"occurred_at": 253402300799999, "features": {"x": 1, "c": "a"}}'
    odd = b'{"occurred_at": "1970-01-01T00:30:00Z", "features": {"x": "text", "c": ["a"]}}'
    records = good[:1_000]
    for number, value in enumerate([*bad, late, odd]):
        records.append(Record(1_000 + number, good[999].timestamp, value))
    offline = OfflineDrift(watched(baseline()), 1, "events")
    offline.add(columns(records))
    report = offline.finish()[-1]
    assert report.skipped == {"from the future": 1, "not an event": 2}
    assert sum(r.events for r in offline.finish()) == 1_001


def test_a_record_stamped_2050_moves_neither_windows_nor_clocks() -> None:
    """In one of two partitions; its event says 2050 too. Everything else is as if it had not come."""
    far = 2_524_608_000_000
    odd = msgspec.json.encode({"occurred_at": far, "features": {"x": 0.1, "c": "a"}})
    found = []
    for stray in (False, True):
        mine = partitions(3_000, 2, shift_at=1.0)
        if stray:
            mine[1][700] = Record(700, far, odd)
        else:
            del mine[1][700]
        now = max(record.timestamp for record in mine[0])
        offline = OfflineDrift(watched(baseline()), 2, "events", now=now)
        for number, records in enumerate(mine):
            offline.add(dataclasses.replace(columns(records), partition=number))
        reports = offline.finish()
        found.append([(r.window.start, r.events) for r in reports])
        assert reports[-1].skipped == ({"from the future": 1} if stray else {})
        assert reports[-1].unordered == 0
    assert found[0] == found[1]


def test_while_a_baseline_is_learnt_the_second_opinion_is_on_the_scores_themselves() -> None:
    """A score that moves before there is a baseline is in it: only ADWIN can say so."""
    rng = np.random.default_rng(8)
    one = watched(None, learn=5_000)
    source = SourcePartition("predictions", "predictions", 0, 1)
    scores = np.concatenate([rng.beta(2, 6, 2_000), rng.beta(4, 4, 2_000)])
    rows = Rows(np.arange(4_000), np.arange(4_000) + 1_000_000, [scores])
    part = countable_rows(one, "predictions", np.arange(4_000), rows)
    stamps = 5_000_000 + 10 * np.arange(4_000)
    log = source.settle([one], None)
    log += source.count([part], {}, offsets=np.arange(4_000), timestamps=stamps, sources=np.arange(4_000))
    log += source.settle([one], 10_000_000)
    found = []
    for seed in (1, 2):
        version = merge(log, random.Random(seed)).models["m"].versions["1"]
        (report,) = version.reports("drift-counts", 0, 1, 2, active=True)
        found.append(report.second_opinion)
    assert found[0] == found[1]
    opinion = found[0]
    assert opinion is not None
    assert opinion.channel == "score"
    assert opinion.changes == 1
    assert opinion.last_change is not None
    assert 2_000 < opinion.last_change.events < 3_500
    assert 1_002_000 <= opinion.last_change.occurred_at < 1_003_500


def test_a_replay_can_leave_out_what_a_service_of_several_models_would() -> None:
    records = partitions(1_000, 1)[0]
    for number, record in enumerate(records):
        if number % 2:
            event = msgspec.json.decode(record.value) | {"model": "m"}
            records[number] = Record(record.offset, record.timestamp, msgspec.json.encode(event))
    counted = []
    for alone in (True, False):
        offline = OfflineDrift(watched(baseline()), 1, "events", alone=alone)
        offline.add(columns(records))
        counted.append(sum(report.events for report in offline.finish()))
    assert counted == [1_000, 500]


def test_a_new_champion_begins_afresh_and_the_old_one_goes_on_after_a_rollback() -> None:
    rng = random.Random(3)
    records = partitions(3_000, 1, shift_at=1.0)[0]
    old = watched(baseline(seed=1))
    new = watched(baseline(seed=2), msgspec.structs.replace(SPEC, version="2"))
    source = SourcePartition("features", "events", 0, 1)
    log: list[Partial] = []
    for version, low, high in ((old, 0, 1_000), (new, 1_000, 1_800), (old, 1_800, 3_000)):
        log += count(source, version, records[low:high])
        log += source.settle([version], None)
    log += source.settle([old], 10_000_000)
    merger = merge(log, rng)
    versions = merger.models["m"].versions
    first, second = versions["1"].watch("features"), versions["2"].watch("features")
    assert first is not None
    assert second is not None
    assert (first.rate.events, second.rate.events) == (2_200, 800)
    assert merger.models["m"].is_active("1")
    assert not merger.models["m"].is_active("2")
    apart = merge([p for p in log if p.version == "1"], rng).models["m"].versions["1"].watch("features")
    assert apart is not None
    assert apart.detector is not None
    assert first.detector is not None
    assert first.detector.snapshot() == apart.detector.snapshot()  # as if the other had never been


def test_a_window_begins_with_the_evidence_of_the_one_before() -> None:
    short = msgspec.structs.replace(SPEC, window=5)  # a hundred events, six slots
    offline = OfflineDrift(watched(baseline(), short), 1, "events")
    offline.add(columns(partitions(2_000, 1, shift_at=0.5, shift=0.15)[0]))
    found = [report.channels[0] for report in offline.finish()]
    assert len(found) > 15
    assert all(channel.evidence > 0 for channel in found[6:])
    assert all(later.peak >= former.evidence for former, later in pairwise(found))


def test_the_reports_hold_a_second_opinion_and_figures_while_a_baseline_is_learnt() -> None:
    offline = OfflineDrift(watched(None, learn=1_500), 1, "events")
    offline.add(columns(partitions(1_200, 1)[0]))
    report = offline.finish()[-1]
    assert report.baseline == "learning"
    x, c = report.channels[:2]
    assert x.reason == "a baseline is being learnt: 1,200 of 1,500 events"
    assert x.figures is not None
    assert c.figures is not None
    assert x.figures.sd is not None
    assert x.figures.events == 1_200
    assert 0.9 < x.figures.sd < 1.2
    assert sum(values for *_, values in x.figures.histogram) == 1_200 - round(1_200 * x.figures.missing)
    assert [name for name, _ in c.figures.top] == ["a", "b"]
    assert report.second_opinion is None, "no predictions came"


def test_a_report_says_what_its_baseline_could_not_show() -> None:
    """Learnt in a minute, or from rows without times: a person is told what is taken for drift then."""
    learnt = OfflineDrift(watched(None, learn=1_500), 1, "events")
    records = partitions(3_000, 1, shift_at=1.0)[0]
    learnt.add(columns(records))
    report = learnt.finish()[-1]
    assert (report.baseline, report.ordered, report.baseline_rows) == ("learning", True, 1_500)
    assert report.baseline_span == pytest.approx(1_500 * 50, rel=0.02)
    sentences = " ".join(told(msgspec.structs.replace(report, baseline="learnt")))  # predictions too
    assert "learnt from the first 1,500 events" in sentences
    assert "They span 1.2 min, which model.toml says is enough (seasonality): a rhythm" in sentences
    untimed, timed = (OfflineDrift(watched(one), 1, "events") for one in (baseline(), timed_baseline()))
    for offline, known in ((untimed, False), (timed, True)):
        offline.add(columns(records))
        report = offline.finish()[-1]
        assert report.ordered == known
        known_to_reader = "The training rows have no times" not in " ".join(
            told(msgspec.structs.replace(report, baseline="bundle"))
        )
        assert known_to_reader == known


def told(report: DriftReport) -> list[str]:
    return list(headline(Reported(report.model, report.model_version, [report])))


def timed_baseline() -> Baseline:
    rng = np.random.default_rng(1)
    rows = {"x": rng.normal(size=5_000), "c": rng.choice(["a", "b"], 5_000).tolist()}
    return fit_baseline(rows, {"x": "numeric", "c": "categorical"}, np.arange(5_000) * 600.0)


def test_at_least_once_repeats_are_counted_once() -> None:
    rng = random.Random(4)
    told = told_by(watched(baseline()), partitions(2_000), rng)
    log = interleaved(told, rng)
    twice = [partial for partial in log for _ in range(2)]
    once, again = (merge(each, rng).models["m"].versions["1"].watch("features") for each in (log, twice))
    assert once is not None
    assert again is not None
    assert again.rate.events == once.rate.events == 2_000


def test_a_merger_without_the_beginning_of_a_version_counts_nothing_and_does_not_fail() -> None:
    told = told_by(watched(baseline()), partitions(500, 1), random.Random(5))[0]
    headless = [msgspec.structs.replace(partial, begin=None) for partial in told]
    merger = Merger("drift-counts", 0)
    merger.take(iter(enumerate(headless)), len(headless))
    assert merger.models["m"].versions == {}


def test_a_version_that_comes_again_with_another_baseline_begins_afresh() -> None:
    rng = np.random.default_rng(9)
    narrow = fit_baseline(
        {"x": rng.integers(0, 3, 5_000), "c": rng.choice(["a", "b"], 5_000).tolist()},
        {"x": "numeric", "c": "categorical"},
    )
    records = partitions(2_000, 1, shift_at=1.0)[0]
    source = SourcePartition("features", "events", 0, 1)
    log = count(source, watched(baseline()), records[:1_000])
    again = SourcePartition("features", "events", 0, 1, source.snapshot())
    log += count(again, watched(narrow), records[1_000:])
    log += again.settle([watched(narrow)], 10_000_000)
    merger = Merger("drift-counts", 0)
    merger.take(iter(enumerate(log)), len(log))
    watch = merger.models["m"].versions["1"].watch("features")
    assert watch is not None
    assert watch.rate.events == 1_000
    assert watch.channels == narrow.watched
