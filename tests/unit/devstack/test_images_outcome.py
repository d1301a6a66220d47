"""Images that are too large or too slow are faults."""

from __future__ import annotations

import pytest

from devstack.images.outcome import Outcome
from devstack.images.tryout import Tried

READY = Tried("ready in 2.9 s", ready=2.9)


@pytest.mark.parametrize(
    ("image", "megabytes", "tried", "faults"),
    [
        ("drift", 250, READY, []),
        ("drift", 251, READY, ["251 MB, more than 250"]),
        ("drift", 250, Tried("ready in 3.2 s", ready=3.2), ["ready in 3.2 s, later than 3"]),
        ("cli", 331, Tried("doctor found all well"), []),
        ("cli", 400, Tried("doctor found all well"), ["400 MB, more than 360"]),
    ],
)
def test_limits(image: str, megabytes: int, tried: Tried, faults: list[str]) -> None:
    assert list(Outcome(image, megabytes * 1_000_000, 0, [tried]).faults()) == faults


def test_a_slow_machine_may_have_more_time() -> None:
    slow = Outcome("drift", 0, 0, [Tried("ready in 8 s", ready=8.0)])
    assert not list(slow.faults(ready_within=10))


def test_what_went_wrong_is_a_fault_and_what_was_not_run_is_not_well() -> None:
    assert list(Outcome("drift", 0, 0, trouble="it ended").faults()) == ["it ended"]
    assert not Outcome("drift", 0, 0).well
