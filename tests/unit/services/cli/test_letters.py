from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from services.cli.letters import REPLAYED, Letter, as_letter, mark_output, marked_offset
from services.cli.selection import Place, Selection
from shared.dead_letters import dead_letter_headers
from shared.errors import ValidationError


@dataclass
class Record:
    headers: list[tuple[str, bytes | None]]
    topic: str = "dead-letters"
    partition: int = 1
    offset: int = 8
    timestamp: int = 1_000
    key: bytes | None = b"k"
    value: bytes | None = b"v"
    extra: list[str] = field(default_factory=list)


def letter(*original: tuple[str, bytes | None], fault: str | None = "features.hour") -> Letter:
    error = ValidationError("hour is 77", field=fault)
    headers = dead_letter_headers(
        original, error, service="inference", topic="events", partition=4, offset=9, now=5
    )
    return as_letter(Record(headers))


def test_a_mark_is_read_back_as_a_mark_of_its_letter() -> None:
    output = mark_output(letter(), now=7, of=8)
    assert (output.topic, output.partition) == ("dead-letters", 1)
    assert output.headers is not None
    assert marked_offset(as_letter(Record(list(output.headers[0])))) == 8


def test_an_event_that_brought_the_header_of_a_mark_is_no_mark() -> None:
    assert marked_offset(letter((REPLAYED, b"3"))) is None


@pytest.mark.parametrize("value", [b"", b"x", b"-1", None])
def test_a_header_that_holds_no_offset_marks_nothing(value: bytes | None) -> None:
    assert marked_offset(as_letter(Record([(REPLAYED, value)]))) is None


@pytest.mark.parametrize(
    ("selection", "selected"),
    [
        (Selection(), True),
        (Selection(field="hour"), True),
        (Selection(field="features.hour"), True),
        (Selection(field="our"), False),
        (Selection(error="ValidationError"), True),
        (Selection(error="DecodeError"), False),
        (Selection(since=1_000), True),
        (Selection(since=1_001), False),
        (Selection(places=(Place(1, 8, 8),)), True),
        (Selection(places=(Place(1, 0, 7), Place(1, 9, 20))), False),
        (Selection(places=(Place(2, 8, 8),)), False),
        (Selection(field="hour", error="DecodeError"), False),
    ],
)
def test_every_condition_must_be_met(selection: Selection, selected: bool) -> None:
    assert (letter() in selection) is selected


def test_a_strange_record_has_no_reason_to_match() -> None:
    strange = as_letter(Record([]))
    assert strange in Selection()
    assert strange not in Selection(field="hour")
    assert strange not in Selection(error="ValidationError")
