"""What the models of a run must answer, computed apart from them: they are linear, so anyone can."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from tests.faults.traffic import CANDIDATE

TOLERANCE: Final = 5e-6
"""The graph reckons with 32 bits; two versions are at least 5,000 times as far apart."""


def coefficients(version: str) -> tuple[list[float], float]:
    """Return weights and bias of a version: champions are numbered and differ in their bias.

    Examples
    --------
    >>> coefficients("2")
    ([0.1, 0.2, -0.3], 0.2)
    """
    if version == CANDIDATE:
        return [0.3, -0.1, 0.2], 0.05
    return [0.1, 0.2, -0.3], 0.1 * int(version)


def score(version: str, features: Mapping[str, float]) -> float:
    """Return the probability of ``yes``.

    Examples
    --------
    >>> round(score("1", {"f0": 1.0, "f1": 0.5, "f2": 1.0}), 6)
    0.5
    """
    weights, bias = coefficients(version)
    logit = bias + sum(weight * features[f"f{at}"] for at, weight in enumerate(weights))
    return 1 / (1 + math.exp(-logit))
