"""A share of the traffic by hash of the key: the same keys everywhere, always, and more as it grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal
from zlib import crc32

import numpy as np
import numpy.typing as npt

Purpose = Literal["canary", "sample"]

_SALTS: Final[dict[Purpose, int]] = {"canary": 1, "sample": 2}


def in_share(
    share: float, purpose: Purpose, model: str, keys: Sequence[bytes | None], values: Sequence[bytes | None]
) -> npt.NDArray[np.bool_]:
    """Return for each record whether its key belongs to the share; shape ``(n,)``.

    The hash is CRC-32 (as in zlib) of the key, begun with the CRC-32 of the model's name; the purpose's
    number (canary 1, sample 2) is put above it as bits 32 and up; the SplitMix64 finaliser mixes all
    bits, and the upper 53 of them divided by 2**53 lie below ``share`` or not. A record without a key is
    hashed by its value. The purposes are independent of each other, and so are models.

    Parameters
    ----------
    share
        In [0, 1]. A larger share holds all keys of a smaller one.

    Examples
    --------
    >>> keys = [b"N14228", b"N24211", b"N619AA", None]
    >>> in_share(0.5, "canary", "flights", keys, [b""] * 4).tolist()
    [False, True, True, False]
    >>> in_share(1.0, "canary", "flights", keys, [b""] * 4).all()
    np.True_

    References
    ----------
    G. Steele, D. Lea and C. Flood (2014), Fast Splittable Pseudorandom Number Generators, OOPSLA.
    """
    if share >= 1.0:
        return np.ones(len(keys), dtype=np.bool_)
    begin = crc32(model.encode())
    pairs = zip(keys, values, strict=True)
    sums = np.fromiter(
        (crc32(key if key is not None else value or b"", begin) for key, value in pairs),
        np.uint64,
        len(keys),
    )
    uniform = (_mixed(sums | np.uint64(_SALTS[purpose] << 32)) >> np.uint64(11)) * 2.0**-53
    chosen: npt.NDArray[np.bool_] = uniform < share
    return chosen


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return SplitMix64's output for these states."""
    mixed = state + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
