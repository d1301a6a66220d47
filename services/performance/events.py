"""What is open about one event: its answers, its label, its outcomes."""

from __future__ import annotations

import msgspec

from services.performance.packets import Answered, Followed, Known


class OpenEvent(msgspec.Struct, array_like=True, gc=False):
    """One event until its horizon has passed.

    Attributes
    ----------
    due
        When it is done with, by event time.
    answers
        One per version, in the order they came; empty while only its labels and outcomes are there.
    truth, observed_at
        The label that counts, as it was sent, and when it was observed; None before one came.
    outcomes
        Value by name of the outcome; the last one counts.
    early_labels, early_outcomes
        What was there before the first answer, in order: whether it counts is not known yet.
    """

    event_id: str
    due: int
    answers: list[Answered] = []
    truth: str | bool | float | None = None
    observed_at: int = 0
    outcomes: dict[str, float] | None = None
    early_labels: list[Known] | None = None
    early_outcomes: list[Followed] | None = None

    def find(self, version: str) -> int:
        """Return the position of a version's answer, -1 where it has given none."""
        for place, answer in enumerate(self.answers):
            if answer.version == version:
                return place
        return -1
