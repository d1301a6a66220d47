"""What an alarm says in a sentence: about what it was raised for, and about the events since the change."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from shared.drift import Baseline, fit_baseline
from shared.drift.stream.explaining import explain
from shared.drift.stream.lately import Lately
from shared.drift.stream.offline import OfflineDrift
from shared.messages import DriftChannel
from tests.unit.shared.drift.stream.streams import SPEC, Record, watched
from tests.unit.shared.drift.stream.test_report import columns

DAY = msgspec.structs.replace(SPEC, window=86_400)


def fitted(shift: float = 0.0, spread: float = 1.0) -> Baseline:
    rng = np.random.default_rng(1)
    x = shift + spread * rng.normal(size=20_000)
    c = rng.choice(["a", "b", "z"], 20_000, p=[0.6, 0.3, 0.1]).tolist()
    return fit_baseline({"x": x, "c": c}, {"x": "numeric", "c": "categorical"})


def channels(baseline: Baseline, rows: list[tuple[Any, str]]) -> dict[str, DriftChannel]:
    """The channels after these events, all of them in one window."""
    records = []
    for i, (x, c) in enumerate(rows):
        event = {"event_id": str(i), "occurred_at": 86_400_000 * 10 + i, "features": {"x": x, "c": c}}
        records.append(Record(i, 86_400_000 * 10 + 10 * i, msgspec.json.encode(event)))
    offline = OfflineDrift(watched(baseline, DAY), 1, "events")
    offline.add(columns(records))
    (report,) = offline.finish()
    return {channel.name: channel for channel in report.channels}


def normal(rng: np.random.Generator, count: int, mean: float = 0.0) -> list[tuple[Any, str]]:
    x = rng.normal(mean, 1.0, count).tolist()
    return list(zip(x, rng.choice(["a", "b", "z"], count, p=[0.6, 0.3, 0.1]).tolist(), strict=True))


def story(channel: DriftChannel) -> str:
    assert channel.alarm is not None
    return channel.alarm.explanation


def test_a_change_late_in_a_long_window_is_told_as_it_is_since_then() -> None:
    rng = np.random.default_rng(2)
    found = channels(fitted(), [*normal(rng, 20_000), *normal(rng, 96, mean=2.0)])
    assert found["x"].figures is not None
    assert found["x"].figures.mean == pytest.approx(0.01, abs=0.02), "the window as a whole"
    now, usual = story(found["x"]).removeprefix("mean ").split(",")[0].split(" instead of ")
    assert float(now) == pytest.approx(2.0, abs=0.4)
    assert float(usual) == pytest.approx(0.0, abs=0.02)


def test_missing_values_are_what_an_alarm_about_missing_values_tells() -> None:
    rng = np.random.default_rng(3)
    rows = normal(rng, 8_000)
    changed = [(None if rng.random() < 0.03 else x, c) for x, c in normal(rng, 4_000)]
    found = channels(fitted(), rows + changed)
    assert found["x"].alarm is not None
    assert found["x"].alarm.change == "missing"
    assert story(found["x"]).endswith(" % instead of 0 %")
    assert float(story(found["x"]).split()[1]) == pytest.approx(3, abs=1)


def test_the_category_that_the_alarm_names_is_the_one_in_the_sentence() -> None:
    """Two shares move, by as much: the sentence is about the one that the alarm names."""
    rng = np.random.default_rng(4)
    rows = normal(rng, 4_000)
    x = rng.normal(size=2_000).tolist()
    rows += zip(x, rng.choice(["a", "b", "z"], 2_000, p=[0.42, 0.30, 0.28]).tolist(), strict=True)
    found = channels(fitted(), rows)["c"]
    assert found.alarm is not None
    name = found.alarm.detail.split(" x")[0]
    assert story(found).startswith(f"{name} ")
    shares = {"a": 0.42, "b": 0.30, "z": 0.28}
    assert float(story(found).split()[1]) == pytest.approx(100 * shares[name], abs=4)


def test_a_rare_new_category_is_not_told_as_nothing() -> None:
    rng = np.random.default_rng(5)
    rows = [
        *normal(rng, 20_000),
        *((x, "SWF" if i % 250 == 0 else c) for i, (x, c) in enumerate(normal(rng, 9_000))),
    ]
    found = channels(fitted(), rows)["c"]
    assert found.alarm is not None
    assert found.alarm.change == "unseen"
    share = float(story(found).split(" %")[0])
    assert 0.1 <= share <= 1
    assert story(found).endswith("are categories that training did not contain: SWF")


def test_a_spread_of_seconds_survives_in_times_since_1970() -> None:
    """Sums of squares of 1,700,000,000 leave no digit for it, and four digits do not tell ten seconds."""
    rng = np.random.default_rng(6)
    base = 1.7e9
    rows = [(base + 10 * x, c) for x, c in normal(rng, 4_000)]
    rows += [(base + 20 + 10 * x, c) for x, c in normal(rng, 2_000)]
    found = channels(fitted(base, 10.0), rows)["x"]
    figures = found.figures
    assert figures is not None
    assert figures.sd == pytest.approx(np.std([x for x, _ in rows]), rel=1e-4)
    assert figures.mean == pytest.approx(np.mean([x for x, _ in rows]), abs=0.01)
    assert figures.reference_sd == pytest.approx(10, rel=0.02)
    assert figures.quantiles[2] - figures.reference_quantiles[2] == pytest.approx(4.5, abs=2)
    means, spreads = story(found).split(", ")
    now, usual = means.removeprefix("mean ").split(" instead of ")
    assert float(now) - float(usual) == pytest.approx(20, abs=3)
    assert spreads.startswith("spread ")
    assert float(spreads.split()[1]) == pytest.approx(10, abs=2)


def test_lengths_are_kept_whatever_the_batches_and_across_restarts() -> None:
    rng = np.random.default_rng(7)
    counts = rng.integers(0, 9, (5_000, 3, 4))
    sums, events = rng.normal(size=(5_000, 2, 2)), rng.integers(1, 17, 5_000).tolist()
    whole, parts = Lately(3, 4, 2), Lately(3, 4, 2)
    whole.add(counts, sums, events)
    at = 0
    while at < 5_000:
        step = int(rng.integers(1, 300))
        parts.add(counts[at : at + step], sums[at : at + step], events[at : at + step])
        at += step
        state = parts.snapshot()
        parts = Lately(3, 4, 2)
        parts.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=type(state)))
    for wanted in (1, 40, 100, 500, 2_000, 9_000, 10**9):
        found, added = whole.since(wanted)
        assert np.array_equal(found, parts.since(wanted)[0])
        slots = next(n for n in range(5_001) if np.array_equal(counts[5_000 - n :].sum(axis=0), found))
        assert sum(events[5_000 - slots :]) <= max(wanted, 16 * 8)
        assert wanted > 20_000 or sum(events[5_000 - slots :]) > min(wanted, 20_000) / 20
        assert added == pytest.approx(sums[5_000 - slots :].sum(axis=0))


def test_a_channel_without_a_bin_of_that_name_is_told_in_numbers() -> None:
    (x, _) = fitted().channels
    counts = np.array(x.counts)
    text = explain(x, counts, np.array([20_000.0, 60_000.0]), change="shape", detail="heavier tails")
    assert text.startswith("mean 0.9")
    both = explain(
        x,
        counts,
        np.array([20_000.0, 60_000.0]),
        change="shape",
        detail=f"{x.bin_names[3]} x1.3, most of all bins",
    )
    assert both.startswith(f"{x.bin_names[3]} ")
    assert both.endswith(text)
