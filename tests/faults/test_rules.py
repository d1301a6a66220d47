"""The rules themselves: nothing to say where all is right, and a sentence for each thing that is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from shared.messages import (
    Answer,
    Comparison,
    Label,
    LabelCounts,
    Labelled,
    PerformanceReport,
    Prediction,
    Realised,
    ShadowReport,
    Source,
    Sums,
    Window,
)
from shared.messages.shadow import Judged
from shared.topics import TopicNames
from tests.faults.rules.comparing import comparing, judging
from tests.faults.rules.found import Found
from tests.faults.rules.quality import quality
from tests.faults.rules.scoring import every_good_event_scored_once_in_order
from tests.faults.traffic import CANDIDATE, MODEL, POISON

TOPICS = TopicNames()
HOUR = 3_600_000


@dataclass
class Record:
    """As much of a record as the rules look at."""

    offset: int
    value: bytes
    key: bytes = b"k"
    timestamp: int = 0
    headers: Sequence[Any] = field(default_factory=tuple)


def records(messages: Sequence[Any]) -> list[Record]:
    return [Record(offset, msgspec.json.encode(message)) for offset, message in enumerate(messages)]


def prediction(offset: int, score: float, version: str = "1") -> Prediction:
    label = "yes" if score >= 0.5 else "no"
    at = offset * 1_000
    return Prediction(f"e{offset}", MODEL, version, score, at, at, Source("events", 0, offset), None, label)


def shadow_report(**judged_or_compared: Any) -> ShadowReport:
    fields = {
        "model": MODEL,
        "model_version": CANDIDATE,
        "champion_version": "1",
        "window": Window(start=0, end=HOUR),
        "source_topic": "events",
        "partition": 0,
        "first_offset": 0,
        "next_offset": 3,
        "written_at": 1,
    }
    return ShadowReport(**(fields | judged_or_compared))


CHAMPION = [prediction(0, 0.2), prediction(1, 0.9)]
SHADOW = [prediction(0, 0.6, CANDIDATE), prediction(1, 0.7, CANDIDATE)]
COMPARED = Comparison(
    both=2,
    neither=1,
    agreed=1,
    flips={"no": {"yes": 1}},
    difference=Sums(n=2, total=0.2, squares=0.2),
)
QUALITY = {
    "1": Realised(
        predictions=2, labels=1, confusion={"yes": {"no": 1}}, brier=Sums(n=1, total=0.64, squares=0.4)
    ),
    CANDIDATE: Realised(
        predictions=2, labels=1, confusion={"yes": {"yes": 1}}, brier=Sums(n=1, total=0.16, squares=0.1)
    ),
}
TOLD = Labelled(
    event_id="e0",
    model=MODEL,
    source=Source("events", 0, 0),
    occurred_at=0,
    observed_at=9,
    truth="yes",
    answers=(
        Answer(model_version="1", score=0.2, scored_at=0, label="no"),
        Answer(model_version=CANDIDATE, score=0.6, scored_at=0, label="yes", shadow=True),
    ),
)


def performance_report(version: str, quality_: Realised) -> PerformanceReport:
    return PerformanceReport(
        model=MODEL,
        model_version=version,
        window=Window(start=0, end=HOUR),
        source_topic="performance-log",
        partition=0,
        first_offset=0,
        next_offset=1,
        written_at=1,
        task="binary",
        horizon=1,
        labels=LabelCounts(),
        quality=quality_,
        edges=(0.5,),
    )


def found(**changed: Any) -> Found:
    """A run of three events, the last of them bad, in which all went well but what is changed."""
    events = [*records([{"event_id": "e0"}, {"event_id": "e1"}]), Record(2, b"{", POISON)]
    judged = Judged(pairs=1, wins=1)
    given = {
        "predictions": CHAMPION,
        "shadow-predictions": SHADOW,
        "labels": [Label(event_id="e0", label="yes", observed_at=9)],
        "outcomes": [],
        "labelled": [TOLD],
        "reports": [
            shadow_report(comparison=COMPARED),
            shadow_report(judged=judged, source_topic="labelled"),
            *(performance_report(version, made) for version, made in QUALITY.items()),
        ],
    } | {name.replace("_", "-"): messages for name, messages in changed.items()}
    return Found(TOPICS, {"events": {0: events}, **{name: {0: records(m)} for name, m in given.items()}})  # type: ignore[arg-type]


def kpi_free(sentences: list[str]) -> list[str]:
    return [sentence for sentence in sentences if ": cost " not in sentence]


def test_nothing_is_said_where_all_is_right() -> None:
    right = found()
    assert every_good_event_scored_once_in_order(right) == []
    assert comparing(right) == []
    assert judging(right) == []
    assert kpi_free(quality(right)) == []


def test_a_pair_that_is_counted_twice_or_not_at_all_is_noticed() -> None:
    for both in (1, 3):
        compared = msgspec.structs.replace(COMPARED, both=both)
        said = comparing(found(reports=[shadow_report(comparison=compared)]))
        assert said == [f"shadow reports: both is {both}, it should be 2"]
    twice = comparing(found(shadow_predictions=[*SHADOW, SHADOW[0]]))
    assert any("1 repeated" in sentence for sentence in twice)
    assert any("out of order" in sentence for sentence in twice)
    other = msgspec.structs.replace(COMPARED, difference=Sums(n=2, total=0.3, squares=0.2))
    assert "scores differ" in comparing(found(reports=[shadow_report(comparison=other)]))[0]


def test_a_label_that_is_judged_twice_is_noticed() -> None:
    report = shadow_report(judged=Judged(pairs=2, wins=2), source_topic="labelled")
    assert len(judging(found(reports=[report]))) == 2


def test_a_label_that_is_joined_to_the_wrong_answer_is_noticed() -> None:
    swapped = [performance_report("1", QUALITY[CANDIDATE]), performance_report(CANDIDATE, QUALITY["1"])]
    assert len(kpi_free(quality(found(reports=swapped)))) == 6
    untold = quality(found(labelled=[]))
    assert any("labelled: e0 is None, it should be yes" in sentence for sentence in untold)
    again = quality(found(labelled=[TOLD, TOLD]))
    assert any("told as new 2 times" in sentence for sentence in again)


def test_an_event_that_is_scored_twice_is_noticed() -> None:
    assert every_good_event_scored_once_in_order(found(predictions=[CHAMPION[0], *CHAMPION])) == [
        "predictions[0]: 1 repeated, the first at offset 0"
    ]
