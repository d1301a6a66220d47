"""What an alert about the shadow gives as the reason."""

from __future__ import annotations

from typing import Any

import pytest

from shared.alerting.readers import VOCABULARIES
from shared.messages import ShadowReport, Window
from shared.messages.shadow import Comparison


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"trouble": "it crashed", "errors": {"Crash": 2}}, "it crashed"),
        ({"errors": {"ValidationError": 2, "Timeout": 1}}, "Timeout, ValidationError"),
        ({}, "nobody says why"),
    ],
)
def test_the_reason_is_a_word_and_never_a_figure(said: dict[str, Any], reason: str) -> None:
    report = ShadowReport(
        model="m", model_version="2", window=Window(start=0, end=1), source_topic="events", partition=0,
        first_offset=0, next_offset=1, written_at=1, champion_version="1",
        comparison=Comparison(both=9, champion_only=1), **said,
    )  # fmt: skip
    notes = [part.notes["trouble"] for part in VOCABULARIES["shadow"].read(report)]
    assert notes == [reason]
