"""The short sample of the fault suite that CI runs, and what the suite itself stands on."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import msgspec
import pytest

from shared.errors import ServiceError
from shared.scoring.events import EventDecoder
from tests.faults.__main__ import Took, faults, jobs, main, seeds, services_of
from tests.faults.catalogue import CATALOGUE
from tests.faults.controls import CONTROLS
from tests.faults.fleet import SERVICES
from tests.faults.result import Result
from tests.faults.traffic import bad_event, good_event
from tests.models import numeric_spec


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_crash_inside_a_transaction_breaks_nothing_and_a_planted_mistake_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--sample", "--json", "--folder", str(tmp_path)]) == 0
    lines = [
        msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")
    ]
    assert lines[-1] == {"runs": 2, "broken": 0, "controls_not_noticed": 0}
    assert lines[0]["events"] > 300
    assert any("lost" in violation for violation in lines[1]["violations"])


def test_every_control_names_faults_that_exist() -> None:
    assert CONTROLS
    for control in CONTROLS.values():
        assert control.faults
        assert set(control.faults) <= set(CATALOGUE)
        assert set(control.services) <= set(SERVICES)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("random-ids", "predictions[0]: 3 repeated, the first at offset 7"),
        ("unawaited-sends", "predictions[2]: 30 of 90 lost, the first at offset 7"),
        ("state-outside", "predictions[1]: 1 of 90 lost, the first at offset 7"),
        ("wrong-offset", "drift: the detector of features after 90 is not that of an offline computation"),
        ("never-let-go", "no progress of every partition in 51 s after the fault: within 51 s these did not"),
    ],
)
def test_a_control_is_noticed_only_by_what_it_is(name: str, sentence: str) -> None:
    control = CONTROLS[name]
    assert control.is_noticed([sentence], "at controls.py:120 waiting_for_ever")
    others = [
        "the run broke off: AssertionError: predictions[0]: 3 repeated",
        "inference-2 ended by itself: see the log",
        "group inference is at 7 of events[0], whose records end at 9",
        "dead-letters of events[0]: 1 of 3 lost, the first at offset 7",
        "drift reports of version 1: 90 features, the state has 80",
    ]
    assert not control.is_noticed(others, "waiting_for_ever")
    assert not control.traced or not control.is_noticed([sentence], "nobody waits")


@pytest.mark.parametrize(("unnoticed", "code"), [("", 0), ("state-outside", 2)])
def test_all_controls_run_in_one_command_and_one_that_passes_makes_it_red(
    unnoticed: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[tuple[str, str]] = []

    def carry_out(options: argparse.Namespace, topology: str, took: Took) -> None:
        for seed, fault, control in jobs(options):
            done.append((control, fault))
            took(Result(seed, fault, topology, control, noticed=control != unnoticed))

    monkeypatch.setattr("tests.faults.__main__._carry_out", carry_out)
    assert main(["--controls"]) == code
    assert done == [(name, fault) for name, control in CONTROLS.items() for fault in control.faults]
    assert ("NOT NOTICED: the suite is blind to it" in capsys.readouterr().out) == bool(code)


@pytest.mark.parametrize("arguments", [["--controls", "--lanes", "2"], ["--sample", "--lanes", "1"]])
def test_a_mistake_that_would_not_be_planted_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "--lanes are for faults" in capsys.readouterr().err


def test_a_result_says_how_to_make_the_same_choices_again() -> None:
    result = Result(3, "zombie", "three", services=("inference", "drift"), rate=45.0)
    made = "python -m tests.faults --seeds 3 --faults zombie --services inference,drift --rate 45 "
    assert result.repeat == made + "--topology three --keep"
    assert result.as_json()["repeat"] == result.repeat
    result.drawn_by = 1
    assert "--seeds 1 " in result.repeat


def test_every_bad_event_of_the_traffic_is_bad_and_every_good_one_is_good() -> None:
    decoder, rng = EventDecoder(numeric_spec(3)), random.Random(1)
    bad = decoder.decode([bad_event(number, rng) for number in range(500)])
    assert [position for position, _ in bad.rejected] == list(range(500))
    assert all(isinstance(error, ServiceError) and error.dead_letter for _, error in bad.rejected)
    assert decoder.decode([good_event(number, rng) for number in range(500)]).rejected == []


def test_the_arguments() -> None:
    assert seeds("3..5") == [3, 4, 5]
    assert faults("zombie,scale") == ["zombie", "scale"]
    assert faults("all") == list(CATALOGUE)
    assert services_of("each", 5) == services_of("each", 1) == ("inference", "shadow")
