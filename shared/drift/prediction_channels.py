"""The channels of a model's own answers: its score, and the class it decides on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.drift.channel import ChannelBaseline
from shared.drift.fitting import fit_channel

SCORE = "score"
PREDICTED_CLASS = "predicted_class"


def prediction_names(features: Iterable[str]) -> tuple[str, str]:
    """Return the names of the two channels; where a feature has such a name, an underscore is added.

    Examples
    --------
    >>> prediction_names(["delay", "score"])
    ('score_', 'predicted_class')
    """
    taken = set(features)
    names = []
    for name in (SCORE, PREDICTED_CLASS):
        while name in taken:
            name += "_"  # noqa: PLW2901
        names.append(name)
    return names[0], names[1]


def prediction_columns(
    features: Iterable[str], scores: Sequence[Any] | NDArray[Any], classes: Sequence[str | None]
) -> Mapping[str, Sequence[Any] | NDArray[Any]]:
    """Return predictions as the columns that a counter of :meth:`Baseline.of_predictions` takes."""
    score, predicted = prediction_names(features)
    return {score: scores, predicted: classes}


def fit_predictions(
    features: Iterable[str],
    scores: NDArray[np.floating[Any]],
    classes: Sequence[str | None],
    times: NDArray[np.float64] | None = None,
) -> tuple[ChannelBaseline, ...]:
    """Return the channels of a model's answers; a regression (all classes None) has no class channel.

    Parameters
    ----------
    scores
        Shape ``(n,)``.
    classes
        The label decided on for each row.
    times
        Ascending seconds since 1970 UTC of the rows; see :func:`shared.drift.fitting.fit_channel`.
    """
    score, predicted = prediction_names(features)
    channels = [fit_channel(score, "numeric", scores, times)]
    if any(label is not None for label in classes):
        channels.append(fit_channel(predicted, "categorical", classes, times))
    return tuple(channels)
