"""Bins of a residual whose range nobody declared: every quantile is right to one per cent of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

ACCURACY: Final = 0.01
_SMALLEST: Final = 1e-9
_GAMMA: Final = (1 + ACCURACY) / (1 - ACCURACY)
_LOG: Final = float(np.log(_GAMMA))


def bins_of_residuals(residuals: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the bin of each residual, shape ``(n,)``: 0 for none, else signed and logarithmic.

    Each bin spans two per cent of its values (as in DDSketch), whatever their size.
    """
    size = np.abs(residuals)
    with np.errstate(divide="ignore"):
        bins = np.ceil(np.log(np.maximum(size, _SMALLEST) / _SMALLEST) / _LOG).astype(np.int64) + 1
    return np.where(size < _SMALLEST, 0, np.sign(residuals).astype(np.int64) * bins)


def value_of(bin_: int) -> float:
    """Return the value that stands for a bin.

    Examples
    --------
    >>> round(value_of(int(bins_of_residuals(np.array([-12.5]))[0])), 1)
    -12.5
    """
    if bin_ == 0:
        return 0.0
    size = _SMALLEST * _GAMMA ** (abs(bin_) - 1) * 2 / (1 + _GAMMA)
    return size if bin_ > 0 else -size


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """Return a quantile of binned residuals, right to one per cent of itself; None where there are none.

    References
    ----------
    Masson, Rim and Lee, DDSketch, PVLDB 12 (2019).
    """
    total = sum(counts.values())
    if not total:
        return None
    rank, seen = share * (total - 1), 0
    for bin_ in sorted(counts):
        seen += counts[bin_]
        if seen > rank:
            return value_of(bin_)
    return value_of(max(counts))
