"""Joint drift: how the numeric features move together, as numeric channels of their own.

Two features can each keep their distribution while their relation breaks. Each value becomes the
normal score of its bin; the scores of an event, whitened by the covariance of the training data, give its
squared Mahalanobis distance, and the principal components whose variance is far from 1 give a score each.

Everything is computed on whole numbers that a double holds exactly, so that a sum does not depend on the
order in which a machine adds: every replica puts an event into the same bin.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.channel import MIN_ROWS_PER_BIN, ChannelBaseline
from shared.drift.normal_scores import bin_scores

DISTANCE = "joint distance"
COMPONENT = "joint component"
MAX_FEATURES = 64
MAX_COMPONENTS = 4
_SCORE_UNIT = 1024
_WEIGHT_UNIT = 4096
_SHRINK = 256 / (_SCORE_UNIT * _WEIGHT_UNIT)
_SMALL_PRODUCT = 200_000
"""Multiplications of a matrix product that BLAS does in one thread."""
_LEAST_VARIANCE = 0.02
_FAR_FROM_ONE = 1.3


class JointBaseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How some numeric features move together in the training data.

    Attributes
    ----------
    features
        Their names.
    scores
        Normal score of every bin of each, in units of 1/1024; 0 where the value is missing.
    whitening
        One row of weights per principal component, in units of 1/4096.
    components
        Rows of it that are channels of their own.
    channels
        ``joint distance``, then ``joint component 1`` and so on.
    """

    features: tuple[str, ...]
    scores: tuple[tuple[int, ...], ...]
    whitening: tuple[tuple[int, ...], ...]
    components: tuple[int, ...]
    channels: tuple[ChannelBaseline, ...] = ()

    def __post_init__(self) -> None:
        size = len(self.features)
        if len(self.scores) != size or [len(row) for row in self.whitening] != [size] * size:
            raise ValueError("a joint baseline takes one table of scores and one row of weights per feature")
        if any(not 0 <= row < size for row in self.components):
            raise ValueError("a joint baseline watches components that it does not have")
        if self.channels and len(self.channels) != 1 + len(self.components):
            raise ValueError("a joint baseline takes one channel for the distance and one per component")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its channels."""
        return (DISTANCE, *(f"{COMPONENT} {i + 1}" for i in range(len(self.components))))

    def explain(self, name: str, most: int = 3) -> str:
        """Return what a component is made of, for a person ("temp +0.71, dewp -0.69").

        Examples
        --------
        >>> pair = JointBaseline(features=("temp", "dewp"), scores=((0, 0), (0, 0)),
        ...                      whitening=((2896, 2896), (2896, -2896)), components=(1,))
        >>> pair.explain("joint component 1"), pair.explain("joint distance")
        ('temp +0.71, dewp -0.71', 'all of temp, dewp')
        """
        if name == DISTANCE:
            shown = ", ".join(self.features[:6])
            return f"all of {shown}" + (
                f" and {len(self.features) - 6} more" if len(self.features) > 6 else ""
            )
        row = np.array(self.whitening[self.components[self.names.index(name) - 1]], np.float64)
        row /= np.linalg.norm(row)
        order = np.argsort(-np.abs(row), kind="stable")[:most]
        return ", ".join(f"{self.features[i]} {row[i]:+.2f}" for i in order.tolist() if abs(row[i]) >= 0.1)


class JointScores:
    """Computes the values of the joint channels from the bins of the features."""

    def __init__(self, joint: JointBaseline) -> None:
        self._tables = [np.array(table, np.float64) for table in joint.scores]
        self._whitening = np.array(joint.whitening, np.float64)
        self._components = list(joint.components)

    def values(self, codes: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Return the squared distance and the watched components, shape ``(channels, n)``.

        Parameters
        ----------
        codes
            Bin of every value, one array of shape ``(n,)`` per feature.
        """
        scores = np.stack([table[code] for table, code in zip(self._tables, codes, strict=True)])
        white = np.rint(self._product(scores) * _SHRINK)
        distance = (white * white).sum(axis=0)
        found: NDArray[np.float64] = np.vstack([distance / 256**2, white[self._components] / 256])
        return found

    def _product(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the whitened scores, computed in pieces too small to be shared among threads.

        Threads that wait for each other cost several times the product. All numbers are whole, so how it is
        cut changes nothing.
        """
        product = np.empty((len(self._whitening), scores.shape[1]))
        each = max(_SMALL_PRODUCT // self._whitening.size, 1)
        for low in range(0, scores.shape[1], each):
            np.matmul(self._whitening, scores[:, low : low + each], out=product[:, low : low + each])
        return product


def fit_whitening(
    channels: Sequence[ChannelBaseline], codes: Sequence[NDArray[np.int64]]
) -> JointBaseline | None:
    """Return how channels move together, still without channels of its own; None for fewer than two.

    The error of a covariance of d features shifts the distance by about d^1.5 / n standard deviations; so
    only as many features take part as the training rows can carry, those that depend on another most.

    Parameters
    ----------
    channels
        Calibrated numeric channels.
    codes
        Bin of every training value, one array of shape ``(n,)`` per channel.
    """
    if len(channels) < 2:
        return None
    tables = [np.append(_scores(channel), 0.0) for channel in channels]
    scores = np.stack([table[code] for table, code in zip(tables, codes, strict=True)])
    covariance = scores @ scores.T / scores.shape[1]
    worth = min(channel.effective_rows for channel in channels)
    most = min(MAX_FEATURES, int((2 * worth) ** (1 / 3)))
    spread = np.sqrt(np.maximum(np.diag(covariance), 1e-9))
    related = np.abs(covariance / np.outer(spread, spread) - np.eye(len(spread))).max(axis=1)
    chosen = np.sort(np.argsort(-related, kind="stable")[:most])
    if len(chosen) < 2:
        return None
    variances, vectors = np.linalg.eigh(covariance[np.ix_(chosen, chosen)])
    variances = np.maximum(variances, _LEAST_VARIANCE)
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(chosen))])
    whitening = np.rint((vectors / np.sqrt(variances)).T * _WEIGHT_UNIT)
    distances = np.abs(np.log(variances))
    far = [i for i in np.argsort(-distances, kind="stable").tolist() if distances[i] >= np.log(_FAR_FROM_ONE)]
    return JointBaseline(
        features=tuple(channels[i].name for i in chosen),
        scores=tuple(tuple(np.rint(tables[i] * _SCORE_UNIT).astype(int).tolist()) for i in chosen),
        whitening=tuple(tuple(row) for row in whitening.astype(int).tolist()),
        components=tuple(far[:MAX_COMPONENTS]),
    )


def _scores(channel: ChannelBaseline) -> NDArray[np.float64]:
    """Return the normal score of each bin; thin bins at either end have one score together.

    What a handful of rows say of the far tail would make the distance of new rows larger than it was of
    those that the covariance was fitted to.
    """
    counts = np.array(channel.counts[:-1], np.float64)
    low = int(np.searchsorted(np.cumsum(counts), MIN_ROWS_PER_BIN))
    high = len(counts) - 1 - int(np.searchsorted(np.cumsum(counts[::-1]), MIN_ROWS_PER_BIN))
    if low >= high:
        return bin_scores(counts / counts.sum())
    merged = np.concatenate([[counts[: low + 1].sum()], counts[low + 1 : high], [counts[high:].sum()]])
    scores = bin_scores(merged / merged.sum())
    wide = [scores[0]] * low, [scores[-1]] * (len(counts) - 1 - high)
    return np.concatenate([wide[0], scores, wide[1]])
