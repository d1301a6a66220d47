"""Concept drift of a regression: are its errors still what they were, given what it predicts?

The counterpart of :mod:`shared.drift.label_given_score`: a label's residual is placed among the residuals
that predictions like this one had, so a change of the predictions themselves (data drift) does not move it.
Feed labels only after their maturation horizon.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.drift.alternatives import Bets, Change, channel_bets
from shared.drift.residual_baseline import RESIDUAL_BINS, ResidualBaseline

_SHARE_OUTSIDE: Final = 0.002
"""What the range that is watched leaves out."""


def residual_bets(baseline: ResidualBaseline, name: str = "label given score") -> Bets:
    """Return the bets on the residual given the prediction: its mean, its spread, its shape.

    They are those of a numeric channel of normal scores. Each is fair in every cell of the prediction,
    whatever the predictions are: what it would give is divided by what it would be expected to give there.

    Raises
    ------
    ValueError
        The baseline is not calibrated.
    """
    if baseline.reason is not None:
        raise ValueError(f"residuals are not calibrated: {baseline.reason}")
    bets = channel_bets(baseline.channel(name))
    kept = [at for at, change in enumerate(bets.changes) if change != "missing"]  # a label is never missing
    concept: Change = "concept"
    return replace(
        bets,
        log_ratios=np.pad(bets.log_ratios[kept, :RESIDUAL_BINS], ((0, 0), (0, 1))),  # outside nothing is bet
        weights=bets.weights[kept] * bets.weights.sum() / bets.weights[kept].sum(),
        probabilities=np.append(baseline.overall * (1 - _SHARE_OUTSIDE), _SHARE_OUTSIDE),
        changes=(concept,) * len(kept),
        details=tuple(f"residual {bets.details[at]}" for at in kept),
        bin_names=(*baseline.bin_names, "outside"),
        cell_shares=np.block(
            [[baseline.shares, np.zeros((baseline.cells, 1))], [np.zeros(RESIDUAL_BINS), 1.0]]
        ),
    )


def residual_rows(baseline: ResidualBaseline, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the columns of each label in a slot: of its bin, and of its cell; shape ``(2, n)``.

    Parameters
    ----------
    codes
        As :meth:`ResidualBaseline.code` gives them, shape ``(n,)``.
    """
    outside = codes == RESIDUAL_BINS * baseline.cells
    bins = np.where(outside, RESIDUAL_BINS, codes % RESIDUAL_BINS)
    return np.stack([bins, RESIDUAL_BINS + 1 + codes // RESIDUAL_BINS])
