import math

from devstack.demo.events import Outgoing
from devstack.demo.ledger import Ledger, percentiles_ms

GOOD = Outgoing(b"N1", b'{"event_id":"a"}', "a")
BAD = Outgoing(b"N1", b"{", None, "JSON cut off")


def test_everything_answered_is_complete() -> None:
    ledger = Ledger()
    ledger.sent(GOOD, 1.0)
    ledger.sent(BAD, 1.0)
    assert (ledger.waiting, ledger.unexplained, ledger.complete) == (1, 1, False)
    ledger.predicted("a", "v1", "late", 1.025)
    ledger.dead_lettered(b"{", "the value is not JSON in UTF-8")
    assert (ledger.waiting, ledger.unexplained, ledger.complete) == (0, 0, True)
    assert (ledger.good, ledger.predictions, ledger.dead_letters) == (1, 1, 1)
    assert ledger.percentiles() == (25.0, 25.0)
    assert ledger.problems == []
    assert ledger.versions == {"v1": 1}


def test_a_second_prediction_is_counted_and_does_not_hide_a_missing_one() -> None:
    ledger = Ledger()
    ledger.sent(GOOD, 1.0)
    ledger.sent(GOOD._replace(event_id="b"), 1.0)
    ledger.predicted("a", "v1", None, 1.1)
    ledger.predicted("a", "v1", None, 9.0)
    assert (ledger.predictions, ledger.repeated, ledger.waiting) == (2, 1, 1)
    assert ledger.missing() == ["b"]
    assert ledger.percentiles() == (100.0, 100.0)


def test_a_prediction_nobody_asked_for_is_a_problem() -> None:
    ledger = Ledger()
    ledger.predicted("ghost", "v1", None, 1.0)
    assert ledger.problems == ["a prediction for ghost, which was never sent as a good event"]


def test_a_dead_letter_must_be_the_original_bytes() -> None:
    ledger = Ledger()
    ledger.sent(BAD, 1.0)
    ledger.dead_lettered(b"{}", "not JSON")
    assert ledger.unexplained == 1
    assert ledger.problems == ["a dead letter that is no bad event we sent (not JSON): {}"]


def test_a_dead_letter_must_name_its_fault() -> None:
    ledger = Ledger()
    ledger.sent(BAD, 1.0)
    ledger.dead_lettered(b"{", "something went wrong")
    assert ledger.problems == [
        "the dead letter of 'JSON cut off' gives a reason that hides it: 'something went wrong'"
    ]


def test_a_tombstone_among_the_dead_letters_is_a_problem() -> None:
    ledger = Ledger()
    ledger.dead_lettered(None, "empty")
    assert ledger.problems == ["a dead letter that is no bad event we sent (empty): "]


def test_percentiles_of_nothing_are_nan() -> None:
    assert all(math.isnan(value) for value in percentiles_ms([]))
