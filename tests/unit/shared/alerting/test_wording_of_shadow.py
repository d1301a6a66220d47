"""What an alert about the shadow gives as the reason."""

from __future__ import annotations

from typing import Any

import pytest

from shared.alerting.readers import VOCABULARIES
from shared.messages import ShadowReport, Window
from shared.messages.shadow import Comparison, Judged, Sums


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


@pytest.mark.parametrize("differs", ["brier", "relative_error"])
def test_the_gain_is_that_of_the_loss_the_task_has(differs: str) -> None:
    """A classifier's relative errors are all zero, and so are a regression's Brier scores."""
    zeros = dict.fromkeys(("brier", "relative_error"), Sums(n=100))
    judged = Judged(pairs=100, **zeros | {differs: Sums(n=100, total=-13.0, squares=5.0)})
    report = ShadowReport(
        model="m", model_version="2", window=Window(start=0, end=1), source_topic="events", partition=0,
        first_offset=0, next_offset=1, written_at=1, champion_version="1", judged=judged,
        comparison=Comparison(both=100),
    )  # fmt: skip
    (part,) = VOCABULARIES["shadow"].read(report)
    assert VOCABULARIES["shadow"].values(part)["gain"] == pytest.approx(-0.13)
