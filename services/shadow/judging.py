"""One labelled event: what champion and candidate lost on it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import msgspec

from shared.bundle.spec import ModelSpec
from shared.messages import Answer, Labelled

LEAST_PROBABILITY: Final = 0.001
"""Probabilities of the truth are clipped here, so that a log loss is at most 6.91."""


class Loss(msgspec.Struct, frozen=True):
    """What one answer lost against the truth.

    Attributes
    ----------
    decisive
        What the pair is decided by, smaller is better: 1 minus the probability of the truth, or the
        absolute error.
    """

    decisive: float
    correct: bool = False
    log_loss: float = 0.0
    brier: float = 0.0
    absolute: float = 0.0


def loss(answer: Answer, truth: str | float, spec: ModelSpec) -> Loss | None:
    """Return what an answer lost, None where truth or answer do not fit the model's task.

    Examples
    --------
    >>> from shared.bundle.spec import FeatureSpec, OutputSpec
    >>> spec = ModelSpec(name="m", version="1", task="binary", output=OutputSpec(score="p"),
    ...                  features=(FeatureSpec(name="x"),), classes=("no", "yes"))
    >>> said = loss(Answer(model_version="1", score=0.8, scored_at=0, label="yes"), "no", spec)
    >>> said.correct, round(said.brier, 6), round(said.log_loss, 6)
    (False, 0.64, 1.609438)
    """
    if spec.task == "regression":
        if isinstance(truth, str) or not math.isfinite(truth):
            return None
        absolute = abs(answer.score - truth)
        return Loss(absolute, absolute=absolute)
    classes = spec.classes or ("0", "1")
    named = class_of(truth)
    if named not in classes:
        return None
    given = (answer.score,) if spec.task == "binary" else (answer.probabilities or {}).values()
    if not all(0.0 <= one <= 1.0 for one in given):
        return None  # no probability: nothing bounded can be said of it
    if spec.task == "binary":
        chance = {classes[0]: 1.0 - answer.score, classes[1]: answer.score}
        brier = chance[classes[0]] ** 2 if named == classes[1] else chance[classes[1]] ** 2
    elif answer.probabilities is not None:
        chance = answer.probabilities
        brier = sum((chance.get(name, 0.0) - (name == named)) ** 2 for name in classes) / 2
    else:
        return None
    of_truth = chance.get(named, 0.0)
    return Loss(
        1.0 - of_truth,
        correct=answer.label == named,
        log_loss=-math.log(max(of_truth, LEAST_PROBABILITY)),
        brier=brier,
    )


def class_of(truth: str | float) -> str:
    """Return a truth as the text of a class; whole numbers without a point."""
    return truth if isinstance(truth, str) else f"{truth:g}"


class Pair(msgspec.Struct, frozen=True):
    """Champion and candidate on one labelled event."""

    model: str
    version: str
    champion: str
    champion_loss: Loss
    candidate_loss: Loss
    champion_score: float
    candidate_score: float
    positive: bool | None
    segments: dict[str, str]
    basis: int = 0


def pairs(labelled: Labelled, spec: ModelSpec) -> Iterator[Pair]:
    """Yield each candidate's answer beside the champion's; nothing where a canary answered."""
    champion = next((a for a in labelled.answers if not a.shadow and not a.canary), None)
    if champion is None:
        return
    lost = loss(champion, labelled.truth, spec)
    positive = None
    if spec.task == "binary":
        positive = class_of(labelled.truth) == (spec.classes or ("0", "1"))[1]
    for answer in labelled.answers:
        if not answer.shadow or answer.model_version == champion.model_version:
            continue
        own = loss(answer, labelled.truth, spec)
        if lost is not None and own is not None:
            yield Pair(
                labelled.model,
                answer.model_version,
                champion.model_version,
                lost,
                own,
                champion.score,
                answer.score,
                positive,
                labelled.segments or {},
                answer.basis,
            )
