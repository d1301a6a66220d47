"""A second opinion that needs no baseline: ADWIN on slot means. It never raises an alarm alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.channel import ChannelBaseline
from shared.drift.slots import SLOT
from shared.drift.values import as_numbers

MAX_MEANS = 8_192
_STEPS = 65_535


class Adwin(Protocol):
    """What River's ADWIN and :class:`shared.drift.adaptive_window.AdaptiveWindow` have in common."""

    @property
    def width(self) -> float:
        """Values since the last change that can be seen."""
        ...

    @property
    def drift_detected(self) -> bool:
        """Whether the last value showed a change."""
        ...

    def update(self, value: float, /) -> None:
        """Take a value in."""
        ...


def rivers_adwin() -> Adwin:
    """Return River's ADWIN."""
    from river.drift import ADWIN  # not in the image of a service that brings another

    made: Any = ADWIN  # River's detectors are partly untyped
    return made()  # type: ignore[no-any-return]


class SecondOpinion:
    """ADWIN [1]_ over the means of slots, clipped to 0 to 1.

    It compares the stream with its own past, so it also speaks where the baseline is wrong, stale or
    learnt from drifted data; and it forgets a slow drift. ``width`` says how many recent events look alike:
    what a retraining may use. At most 8,192 means are kept, in steps of 1/65,535; then the older half is
    let go.

    Parameters
    ----------
    adwin
        Makes an ADWIN that has seen nothing.

    Attributes
    ----------
    changes
        Changes found so far.
    last_change
        Events seen when the last was found; None before the first.

    References
    ----------
    .. [1] Bifet, A. and Gavalda, R. (2007). Learning from time-changing data with adaptive windowing.
       Proceedings of the SIAM International Conference on Data Mining, 443-448.

    Examples
    --------
    >>> opinion = SecondOpinion()
    >>> rng = np.random.default_rng(5)
    >>> opinion.update(rng.beta(2, 5, (400, 16)).mean(axis=1))
    >>> opinion.changes, opinion.width
    (0, 6400)
    >>> opinion.update(rng.beta(3, 4, (100, 16)).mean(axis=1))
    >>> opinion.changes, 6_400 < opinion.last_change < 8_000
    (1, True)
    """

    def __init__(self, adwin: Callable[[], Adwin] = rivers_adwin) -> None:
        self._new = adwin
        self.changes = 0
        self.last_change: int | None = None
        self._events = 0
        self._means: list[int] = []
        self._sizes: list[int] = []
        self._adwin = adwin()

    @property
    def width(self) -> int:
        """Events since the last change that ADWIN can see; those in slots without a usable value not."""
        slots = int(self._adwin.width)
        return sum(self._sizes[-slots:]) if slots else 0

    def update(
        self, means: Sequence[float] | NDArray[np.float64], events: Sequence[int] | None = None
    ) -> None:
        """Take the mean of each slot, in order; NaN (a slot without a usable value) is left out.

        Parameters
        ----------
        events
            Of each slot, at most 255; 16 in all, if left out.
        """
        codes = np.clip(np.asarray(means, np.float64), 0.0, 1.0) * _STEPS
        sizes = [SLOT] * len(codes) if events is None else events
        for code, size in zip(codes.tolist(), sizes, strict=True):
            self._events += size
            if code != code:  # noqa: PLR0124 - NaN
                continue
            self._means.append(round(code))
            self._sizes.append(size)
            self._adwin.update(self._means[-1] / _STEPS)
            if self._adwin.drift_detected:
                self.changes, self.last_change = self.changes + 1, self._events
                self._means, self._sizes = [], []
                self._adwin = self._new()
            elif len(self._means) == MAX_MEANS:
                self._means, self._sizes = self._means[MAX_MEANS // 2 :], self._sizes[MAX_MEANS // 2 :]
                self._rebuild()

    def _rebuild(self) -> None:
        self._adwin = self._new()
        for code in self._means:
            self._adwin.update(code / _STEPS)

    def snapshot(self) -> bytes:
        """Return the state as bytes: the means, from which ADWIN is rebuilt."""
        means, sizes = np.array(self._means, "<u2").tobytes(), bytes(self._sizes)
        return msgspec.msgpack.encode(_State(self.changes, self.last_change, self._events, means, sizes))

    def restore(self, raw: bytes) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            The bytes are not a snapshot.
        """
        try:
            state = msgspec.msgpack.decode(raw, type=_State)
            means = np.frombuffer(state.means, "<u2")
        except (msgspec.DecodeError, ValueError) as error:
            raise ValueError(f"the bytes are not the snapshot of a second opinion: {error}") from error
        self.changes, self.last_change, self._events = state.changes, state.last_change, state.events
        self._means, self._sizes = means.tolist(), list(state.sizes)
        self._rebuild()


def slot_scores(scores: Sequence[Any]) -> float:
    """Return the mean of a slot's own scores; NaN where none is usable, or one is no probability.

    For the time without a baseline, when there are no training values to rank scores among.

    Examples
    --------
    >>> slot_scores([0.25, None, 0.75]), slot_scores([0.5, 17.0])
    (0.5, nan)
    """
    numbers = as_numbers(scores)
    usable = numbers[~np.isnan(numbers)]
    inside = len(usable) > 0 and usable.min() >= 0 and usable.max() <= 1
    return float(usable.mean()) if inside else float("nan")


class _State(msgspec.Struct, frozen=True, array_like=True):
    changes: int
    last_change: int | None
    events: int
    means: bytes
    sizes: bytes


def slot_ranks(channel: ChannelBaseline, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean rank of a numeric channel's values in each slot, 0 to 1; NaN without a usable one.

    Ranks among the training values fit any score, a regression's too, and come from the merged bin
    counts, so every replica computes the same.

    Parameters
    ----------
    counts
        Events per slot and bin of this channel, shape ``(slots, bins)``; padding is ignored.
    """
    trained = np.array(channel.counts[:-1], np.float64)
    ranks = (np.cumsum(trained) - trained / 2) / trained.sum()
    values = counts[:, : len(trained)]
    usable = values.sum(axis=1)
    means: NDArray[np.float64] = np.where(usable > 0, values @ ranks / np.maximum(usable, 1), np.nan)
    return means
