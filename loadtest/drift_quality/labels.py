"""Concept drift from labels: Driftline's label given score beside River's detectors of errors.

River's detectors watch whether the prediction was wrong. Each is tuned on a stream without drift to the
most sensitive of its settings that raises no more false alarms than the budget; one that never
comes down to it is left out. So the comparison is of delays alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from river import drift
from river.drift import binary

from loadtest.drift_quality.streams import Floats
from shared.drift import Detector
from shared.drift.label_given_score import LabelCounter, fit_labels, label_bets

BASELINE_LABELS = 20_000
BEFORE = 4_000
Labelled = tuple[Floats, Floats]


@dataclass(frozen=True, slots=True)
class Concept:
    """One kind of concept drift: the chance of a positive label after it, given the score."""

    name: str
    chance: Callable[[Floats], Floats]


def _logit(scores: Floats) -> Floats:
    return np.log(scores / (1 - scores))


CONCEPTS = (
    Concept("one label in twenty flipped", lambda s: s * 0.95 + (1 - s) * 0.05),
    Concept("one label in eight flipped", lambda s: s * 0.875 + (1 - s) * 0.125),
    Concept("odds of the label halved", lambda s: np.asarray(1 / (1 + np.exp(-_logit(s) + np.log(2))))),
    Concept("scores twice too sure", lambda s: np.asarray(1 / (1 + np.exp(-_logit(s) / 2)))),
)


def stream(
    rng: np.random.Generator, labels: int, chance: Callable[[Floats], Floats] = lambda s: s
) -> Labelled:
    """Return scores of a calibrated classifier with about 10 % errors, and labels."""
    scores = rng.beta(0.45, 0.45, labels) * 0.96 + 0.02
    return scores, (rng.random(labels) < chance(scores)).astype(np.float64)


def wrong(labelled: Labelled) -> list[bool]:
    """Return whether each prediction, at a threshold of one half, was wrong."""
    scores, labels = labelled
    found: list[bool] = ((scores >= 0.5) != (labels == 1)).tolist()
    return found


class LabelGivenScore:
    """Driftline's channel, its baseline from 20,000 labels."""

    def __init__(self, seed: int, labels_between_alarms: float) -> None:
        baseline = fit_labels(*stream(np.random.default_rng([8_001, seed]), BASELINE_LABELS))
        self._bets, self._budget = label_bets(baseline), labels_between_alarms

    def alarms(self, *parts: Labelled) -> list[int]:
        """Return after how many labels, of all parts together, each alarm came."""
        detector, counter = Detector([self._bets], self._budget), LabelCounter()
        return [alarm.event for part in parts for alarm in detector.update(counter.add(*part))]


SETTINGS: dict[str, tuple[Callable[[float], Any], Sequence[float]]] = {
    "River ADWIN": (lambda d: _made(drift.ADWIN, delta=d), (2e-3, 2e-4, 2e-5, 2e-6, 2e-7, 2e-8, 2e-10)),
    "River DDM": (lambda k: _made(binary.DDM, drift_threshold=k), (3, 3.5, 4, 4.5, 5, 6, 8)),
    "River HDDM_A": (
        lambda d: _made(binary.HDDMA, drift_confidence=d), (1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-12)
    ),
    "River HDDM_W": (
        lambda d: _made(binary.HDDMW, drift_confidence=d), (1e-3, 1e-5, 1e-7, 1e-9, 1e-12, 1e-15, 1e-20)
    ),
    "River PageHinkley": (lambda h: _made(drift.PageHinkley, threshold=h), (20, 35, 50, 75, 100, 150, 250)),
}  # fmt: skip
"""Each detector's own measure of sensitivity, from its default, or more sensitive, to less."""


def _made(kind: Any, **settings: float) -> Any:
    return kind(**settings)


def river_alarms(detector: Any, errors: Sequence[bool], *, first_after: int | None = None) -> list[int]:
    """Return after how many labels each alarm came; with ``first_after``, up to the first behind it."""
    alarms = []
    for i, error in enumerate(errors, start=1):
        detector.update(error)
        if detector.drift_detected:
            alarms.append(i)
            if first_after is not None and i > first_after:
                break
    return alarms


def tune(name: str, errors: Sequence[bool], allowed: float) -> float | None:
    """Return the most sensitive setting with at most so many alarms on these errors, None for none."""
    make, settings = SETTINGS[name]
    for setting in settings:
        if len(river_alarms(make(setting), errors)) <= allowed:
            return setting
    return None
