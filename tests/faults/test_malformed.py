"""What is said of dead letters and predictions that are not what the malformed events come to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shared.errors import ServiceError
from shared.messages import Prediction, Source
from shared.scoring.events import EventDecoder
from tests.faults.answers import score
from tests.faults.limits import PARTITIONS
from tests.faults.malformed import GOOD_EVERY, Letters, compare, compare_good, values
from tests.models import numeric_spec

COUNT = GOOD_EVERY + 500


def right() -> tuple[Letters, list[Prediction]]:
    letters, made = Letters(), []
    for number, (reason, value) in enumerate(values(COUNT)):
        partition, offset = number % PARTITIONS, number // PARTITIONS
        if reason is not None:
            letters.values[partition, offset] = value
            letters.reasons[partition, offset] = reason
            continue
        event = msgspec.json.decode(value)
        source = Source("events", partition, offset)
        made.append(Prediction(event["event_id"], "demo", "1", score("1", event["features"]), 0, 0, source))
    return letters, made


def test_every_event_is_refused_for_the_reason_that_it_was_spoilt_for() -> None:
    wanted = list(values(COUNT))
    rejected = dict(EventDecoder(numeric_spec(3)).decode([value for _, value in wanted]).rejected)
    for number, (reason, value) in enumerate(wanted):
        error: Any = rejected.get(number)
        said = None if error is None else (error.reason, error.field)
        assert isinstance(error, ServiceError | None)
        assert said == reason, value


def test_nothing_is_said_where_all_is_right() -> None:
    letters, made = right()
    assert compare(COUNT, letters) == []
    assert compare_good(COUNT, made) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda letters: letters.values.pop((1, 0)), "event 1 is missing"),
        (lambda letters: letters.values.update({(1, 0): b"x"}), "event 1 was changed"),
        (lambda letters: letters.reasons.update({(1, 0): ("ProcessError", None)}), "it should be ("),
        (lambda letters: letters.values.update({(0, 0): b"x"}), "1 dead letters too many"),
    ],
)
def test_a_letter_that_is_not_right_is_noticed(change: Any, said: str) -> None:
    letters, _ = right()
    change(letters)
    (sentence,) = compare(COUNT, letters)
    assert said in sentence


def test_a_good_event_that_is_not_scored_or_not_rightly_is_noticed() -> None:
    _, made = right()
    assert len(made) == 2
    assert compare_good(COUNT, made[:1]) == ["events[1] offset 333 was scored 0 times"]
    assert compare_good(COUNT, [*made, made[0]]) == ["events[0] offset 0 was scored 2 times"]
    wrong = msgspec.structs.replace(made[0], score=0.25)
    assert len(compare_good(COUNT, [wrong, made[1]])) == 1
    foreign = msgspec.structs.replace(made[0], source=Source("events", 2, 0))
    assert "is bad and was scored" in compare_good(COUNT, [*made, foreign])[0]
