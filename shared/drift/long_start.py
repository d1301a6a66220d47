"""A baseline from rows spread over a long time, where the first events could not show a rhythm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.baseline import Baseline
from shared.drift.bins import Coder
from shared.drift.channel import ChannelBaseline, Kind
from shared.drift.fitting import (
    effect_apart_from_season,
    fit_baseline,
    surely_depends,
    worth_too_little,
)
from shared.drift.joint import JointScores


def first_effects(
    first: Baseline, columns: Mapping[str, Sequence[Any] | NDArray[Any]], times: NDArray[np.float64]
) -> dict[str, float]:
    """Return the design effect of each channel of a baseline of consecutive events, where it could be told.

    Parameters
    ----------
    columns, times
        What the baseline was fitted from, in the order of time.

    Examples
    --------
    >>> columns, times = {"late": [False, True] * 500, "gone": [None] * 1_000}, np.arange(1_000.0)
    >>> first = fit_baseline(columns, {"late": "boolean", "gone": "numeric"}, times)
    >>> first_effects(first, columns, times)
    {'late': 1.0}
    """
    joint = () if first.joint is None else first.joint.channels
    found: dict[str, float | None] = {channel.name: channel.deff for channel in joint}
    for channel in first.channels:
        found[channel.name] = effect_apart_from_season(channel, columns[channel.name], times)
    return {name: effect for name, effect in found.items() if effect is not None}


def fit_spread(
    columns: Mapping[str, Sequence[Any] | NDArray[Any]],
    kinds: Mapping[str, Kind],
    times: NDArray[np.float64],
    segments: Sequence[str],
    *,
    effects: Mapping[str, float],
    each: float,
) -> Baseline:
    """Return the baseline of rows drawn from a stream at random, over a time that shows its rhythms.

    Rows that lie far apart do not show how neighbours resemble each other: that is known from the first
    events, which were consecutive. Rows that lie far apart and still resemble each other (weather, a slow
    trend) stand for all the events between them, so what they show counts that many times.

    Parameters
    ----------
    columns, kinds, segments
        As for :func:`shared.drift.fitting.fit_baseline`.
    times
        Ascending seconds since 1970 UTC, shape ``(n,)``.
    effects
        Design effect of each channel, measured on consecutive events.
    each
        Events of the stream per row, at least 1.
    """
    fitted = fit_baseline(columns, kinds, times, segments)
    channels = tuple(
        _adjusted(channel, columns[channel.name], times, effects.get(channel.name), each)
        for channel in fitted.channels
    )
    lost = {channel.name for channel in channels if not channel.calibrated}
    joint = fitted.joint
    if joint is None or lost & set(joint.features):
        return msgspec.structs.replace(fitted, channels=channels, joint=None)
    of = {channel.name: channel for channel in fitted.channels}
    codes = [Coder(of[name]).code(columns[name], times) for name in joint.features]
    most = max(effects.get(name, 1.0) for name in (*joint.features, *joint.names))
    together = tuple(
        _adjusted(channel, values, times, most, each)
        for channel, values in zip(joint.channels, JointScores(joint).values(codes), strict=True)
    )
    joint = msgspec.structs.replace(joint, channels=together)
    return msgspec.structs.replace(fitted, channels=channels, joint=joint)


def _adjusted(
    channel: ChannelBaseline,
    values: Sequence[Any] | NDArray[Any],
    times: NDArray[np.float64],
    effect: float | None,
    each: float,
) -> ChannelBaseline:
    """Return a channel whose design effect is that of the stream, not of the rows drawn from it."""
    if not channel.calibrated:
        return channel
    if effect is None:
        reason = "its first events could not show how its values depend on each other"
        return msgspec.structs.replace(channel, reason=reason)
    far = channel.deff - 1 if surely_depends(channel, values, times) else 0.0
    channel = msgspec.structs.replace(channel, deff=max(effect, channel.deff, 1 + each * far))
    return msgspec.structs.replace(channel, reason=worth_too_little(channel))
