"""The short sample of the fault suite that CI runs, and what the suite itself stands on."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from shared.errors import ServiceError
from shared.scoring.events import EventDecoder
from tests.faults.__main__ import faults, main, seeds, services_of
from tests.faults.catalogue import CATALOGUE
from tests.faults.controls import CONTROLS
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
