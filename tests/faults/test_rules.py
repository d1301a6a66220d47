"""The rules themselves: nothing to say where all is right, and a sentence for each thing that is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest

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
from tests.faults.answers import coefficients
from tests.faults.rules.comparing import comparing, judging
from tests.faults.rules.found import Found
from tests.faults.rules.quality import quality
from tests.faults.rules.scoring import (
    every_event_that_was_sent_is_there,
    every_good_event_scored_once_in_order,
    every_score_is_the_models,
)
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


def features_of(champion: float, candidate: float) -> dict[str, float]:
    """Return features to which the two models give these scores."""
    models = [coefficients("1"), coefficients(CANDIDATE)]
    logits = [math.log(score / (1 - score)) for score in (champion, candidate)]
    left = np.array([weights for weights, _ in models])
    solved = np.linalg.lstsq(left, np.array(logits) - np.array([bias for _, bias in models]), rcond=None)[0]
    return {f"f{at}": value for at, value in enumerate(solved.tolist())}


SCORES = [(0.2, 0.6), (0.9, 0.7)]
"""The champion's and the candidate's, event by event."""

CHAMPION = [prediction(at, score) for at, (score, _) in enumerate(SCORES)]
SHADOW = [prediction(at, score, CANDIDATE) for at, (_, score) in enumerate(SCORES)]
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
    good = [
        {"event_id": f"e{at}", "occurred_at": at * 1_000, "features": features_of(*both)}
        for at, both in enumerate(SCORES)
    ]
    events = [*records(good), Record(2, b"{", POISON)]
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
    assert every_event_that_was_sent_is_there(right, 3) == []
    assert every_score_is_the_models(right, ["1"]) == []
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


def test_an_event_that_the_topic_has_lost_is_noticed() -> None:
    assert every_event_that_was_sent_is_there(found(), 4) == ["events: 3 are there, 4 were sent"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"score": 0.2001}, "the score is 0.2001, it should be 0.2"),
        ({"label": "yes"}, "the label is yes at a score of 0.2"),
        ({"model_version": "2"}, "by demo version 2"),
        ({"occurred_at": 7}, "it occurred at 7"),
    ],
)
def test_an_answer_that_is_not_the_models_is_noticed(change: dict[str, Any], said: str) -> None:
    wrong = msgspec.structs.replace(CHAMPION[0], **change)
    (sentence,) = every_score_is_the_models(found(predictions=[wrong, CHAMPION[1]]), ["1"])
    assert sentence.startswith("predictions[0]: 1 wrong answers, such as to e0: ")
    assert said in sentence


def test_a_version_that_has_been_champion_answers_as_itself() -> None:
    second = msgspec.structs.replace(CHAMPION[0], model_version="2")  # but with the first one's score
    (sentence,) = every_score_is_the_models(found(predictions=[second, CHAMPION[1]]), ["1", "2"])
    assert "the score is 0.2, it should be 0.216" in sentence


def test_a_shadow_prediction_that_is_lost_is_noticed_unless_the_reports_own_to_it() -> None:
    compared = msgspec.structs.replace(
        COMPARED, both=1, champion_only=1, agreed=0, difference=Sums(n=1, total=0.4, squares=0.16)
    )
    silent = found(shadow_predictions=SHADOW[:1], reports=[shadow_report(comparison=compared)])
    assert comparing(silent) == [
        "shadow-predictions: 1 lost, of which the reports own to 0 without an answer"
    ]
    assert comparing(silent, lost_sight=True) == []
    owned = shadow_report(comparison=compared, errors={"Timeout": 1, "ValidationError": 1})
    assert comparing(found(shadow_predictions=SHADOW[:1], reports=[owned])) == []
    assert len(comparing(found(reports=[shadow_report(comparison=COMPARED, errors={"Crash": 1})]))) == 1


def test_a_shadow_prediction_with_a_wrong_score_is_noticed() -> None:
    wrong = msgspec.structs.replace(SHADOW[0], score=CHAMPION[0].score, label="no")
    said = comparing(found(shadow_predictions=[wrong, SHADOW[1]]))
    assert any("wrong answers, such as to e0" in sentence for sentence in said)


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
