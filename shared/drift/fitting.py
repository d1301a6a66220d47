"""Fitting a drift baseline: training columns in, channels out, each calibrated or with the reason why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.baseline import Baseline
from shared.drift.bins import BOOLEANS, MAX_RARE, TAIL_SHARES, Coder, category_bins, numeric_edges
from shared.drift.channel import MIN_ROWS_PER_BIN, ChannelBaseline, Kind
from shared.drift.dependence import BLOCK, MIN_BLOCKS, beyond_chance, design_effect, reaches_beyond
from shared.drift.joint import JointBaseline, JointScores, fit_whitening
from shared.drift.normal_scores import bin_scores
from shared.drift.phases import (
    PhaseTable,
    apart_from_hours,
    differs_by_phase,
    fit_phases,
    rows_per_cycle,
    season_left_in,
)
from shared.drift.segments import fit_segments
from shared.drift.share_table import TABLE_CYCLES, fit_shares
from shared.drift.values import as_category, as_numbers
from shared.errors import BundleError

MIN_ROWS = 512
"""With fewer the dependence between rows cannot be measured: it takes eight blocks of 64."""
MIN_EFFECTIVE_ROWS = 200
SEASON_UNFOLLOWED = f"its season cannot be followed, and the rows show fewer than {MIN_BLOCKS} rounds of it"
MAX_UNSEEN = 0.5
MAX_SPELLS = 1.5
"""How many times more than the channel's own design effect that of its far values may be."""
MAX_JOINT_CANDIDATES = 256
MAX_JOINT_DEFF = 8.0
"""More dependent features (weather) have spells in which several are extreme at once: that is no drift."""

Column = Sequence[Any] | NDArray[Any]


def fit_baseline(
    columns: Mapping[str, Column],
    kinds: Mapping[str, Kind],
    times: Column | None = None,
    segments: Sequence[str] = (),
) -> Baseline:
    """Return the baseline of training data.

    Parameters
    ----------
    columns
        Values of each feature, all of the same length ``n``; None and NaN are missing.
    kinds
        Kind of each feature, in the order of the model's features.
    times
        When each row happened, in seconds since 1970 UTC, shape ``(n,)``; rows need not be sorted.
        Without it the rows are taken to be in the order of time: autocorrelation is measured in that
        order, seasons are not looked for, and each channel says ``ordered = False``. Rows that were
        shuffled hide their autocorrelation, and the guarantee then holds only if events are independent.
    segments
        Categorical or boolean features: an alarm says in which of their categories the change is.

    Raises
    ------
    BundleError
        A feature has no column, columns differ in length, or a time is not a number.
    """
    lengths = {len(columns[name]) for name in kinds if name in columns}
    lengths |= set() if times is None else {len(times)}
    if len(lengths) > 1:
        raise BundleError(f"training columns differ in length: {sorted(lengths)} rows")
    order, when = _time_order(times)
    channels: list[ChannelBaseline] = []
    codes: dict[str, NDArray[np.int64]] = {}
    crossed: dict[str, NDArray[np.int64]] = {}
    for name, kind in kinds.items():
        if name not in columns:
            raise BundleError(f"the training data has no column {name!r}", field=f"features.{name}")
        values = _reorder(columns[name], order)
        channel = fit_channel(name, kind, values, when)
        channels.append(channel)
        independent = channel.calibrated and channel.deff <= MAX_JOINT_DEFF
        together = independent and kind == "numeric" and len(codes) < MAX_JOINT_CANDIDATES
        if channel.counts and (together or segments):
            crossed[name] = Coder(channel).code(values, when)
        if together:
            codes[name] = crossed[name]
    joint = _fit_joint(channels, codes, when)
    span = float(when[-1] - when[0]) if when is not None and len(when) else 0.0
    fitted = Baseline(channels=tuple(channels), joint=joint, span=span)
    if not segments:
        return fitted
    crossed |= _joint_codes(joint, codes, when)
    known = [channel for channel in fitted.watched if channel.name in crossed]
    tables = fit_segments(known, [crossed[channel.name] for channel in known], segments)
    return msgspec.structs.replace(fitted, segments=tables)


def _joint_codes(
    joint: JointBaseline | None, codes: Mapping[str, NDArray[np.int64]], times: NDArray[np.float64] | None
) -> dict[str, NDArray[np.int64]]:
    """Return the bins of the joint channels that have some."""
    if joint is None:
        return {}
    values = JointScores(joint).values([codes[name] for name in joint.features])
    pairs = zip(joint.channels, values, strict=True)
    return {channel.name: Coder(channel).code(row, times) for channel, row in pairs if channel.counts}


def _fit_joint(
    channels: Sequence[ChannelBaseline],
    codes: Mapping[str, NDArray[np.int64]],
    times: NDArray[np.float64] | None,
) -> JointBaseline | None:
    """Return the joint baseline of the numeric channels that have codes, with a channel for each value.

    Their tails are not divided: the covariance is fitted to the training rows, so new ones lie further out.
    """
    used = [channel for channel in channels if channel.name in codes]
    joint = fit_whitening(used, [codes[channel.name] for channel in used])
    if joint is None:
        return None
    values = JointScores(joint).values([codes[name] for name in joint.features])
    fitted = [_fit_numeric(n, v, times, tails=False) for n, v in zip(joint.names, values, strict=True)]
    return msgspec.structs.replace(
        joint, channels=tuple(msgspec.structs.replace(channel, joint=True) for channel in fitted)
    )


def fit_channel(
    name: str, kind: Kind, values: Column, times: NDArray[np.float64] | None = None
) -> ChannelBaseline:
    """Return the baseline of one channel; one that cannot be calibrated says why in ``reason``.

    Parameters
    ----------
    values
        Training values in the order of time, shape ``(n,)``.
    times
        Ascending seconds since 1970 UTC, shape ``(n,)``. Where only their order is known, zeros: seasons
        are not looked for then. None where not even that is certain.

    Examples
    --------
    >>> fit_channel("gate", "categorical", ["A", None] * 100).reason
    'only 100 usable training rows; 512 are needed'
    """
    if kind == "numeric":
        return _fit_numeric(name, as_numbers(values), times)
    raw = values.tolist() if isinstance(values, np.ndarray) else values
    return _fit_categories(name, kind, [as_category(value) for value in raw], times)


def _fit_numeric(
    name: str, numbers: NDArray[np.float64], times: NDArray[np.float64] | None, *, tails: bool = True
) -> ChannelBaseline:
    rows, usable = len(numbers), int(np.isfinite(numbers).sum())
    reason = _too_few(rows, usable)
    if reason is None and np.nanmin(numbers) == np.nanmax(numbers):
        reason = f"every training value is {np.nanmin(numbers):g}: there is no spread to measure change in"
    if reason is not None:
        return ChannelBaseline(name=name, kind="numeric", rows=rows, ordered=times is not None, reason=reason)
    phases = fit_phases(numbers, times) if times is not None else None
    if phases is None or times is None:
        season = season_left_in(numbers, times) if times is not None else None
        block = rows_per_cycle(times, season) if times is not None and season is not None else None
        return _numeric_channel(name, numbers, times, None, block, tails=tails)
    followed = _numeric_channel(name, phases.standardise(numbers, times), times, phases, tails=tails)
    cycle = rows_per_cycle(times, phases.cycle)
    left_in = _numeric_channel(name, numbers, times, None, cycle, tails=tails)
    return _better(followed, left_in)


def _numeric_channel(
    name: str,
    numbers: NDArray[np.float64],
    times: NDArray[np.float64] | None,
    phases: PhaseTable | None,
    block: int | None = None,
    *,
    tails: bool = True,
) -> ChannelBaseline:
    """Return the channel of numbers that a season was taken out of, or, with ``block``, was left in.

    Where the far values come in spells more than the others do (storms), their bins are left out: bets
    on them would take the next spell for a change.
    """
    present = np.sort(numbers[np.isfinite(numbers)])
    channel, codes = _binned(name, numbers, times, phases, numeric_edges(present, tails=tails))
    if not channel.calibrated:
        return channel
    whole = _with_dependence(channel, _series(channel, codes), block)
    if not tails:
        return whole
    far = np.zeros(len(channel.edges) + 1)
    far[: len(TAIL_SHARES) + 1] = far[-len(TAIL_SHARES) - 1 :] = 1.0
    values = codes[codes < len(far)]
    spells = channel.ordered or beyond_chance(far[values])
    if not spells or design_effect(far[values]) <= MAX_SPELLS * whole.deff:
        return whole
    channel, codes = _binned(name, numbers, times, phases, numeric_edges(present, tails=False))
    return _with_dependence(channel, _series(channel, codes), block)


def _binned(
    name: str,
    numbers: NDArray[np.float64],
    times: NDArray[np.float64] | None,
    phases: PhaseTable | None,
    edges: NDArray[np.float64],
) -> tuple[ChannelBaseline, NDArray[np.int64]]:
    """Return the channel with these edges, its dependence not yet measured, and the bin of every number."""
    codes = np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="right"))
    counts = np.bincount(codes, minlength=len(edges) + 2)
    values = codes <= len(edges)
    sums = np.bincount(codes[values], numbers[values], len(edges) + 1)
    bounds = [edges[:1], edges] if len(edges) else [np.zeros(1)]
    centres = np.where(counts[:-1] > 0, sums / np.maximum(counts[:-1], 1), np.concatenate(bounds))
    channel = ChannelBaseline(
        name=name,
        kind="numeric",
        rows=len(numbers),
        edges=tuple(edges.tolist()),
        centres=tuple(centres.tolist()),
        sd=float(numbers[values].std()),
        counts=tuple(counts.tolist()),
        phases=phases,
        ordered=times is not None,
        reason=None if len(edges) else "fewer than two distinct values have 20 training rows",
    )
    return channel, codes


def _series(channel: ChannelBaseline, codes: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Return what dependence is measured on: normal scores, their squares, and whether one is missing."""
    last = len(channel.edges) + 1
    values = codes[codes < last]
    scores = bin_scores(np.array(channel.counts[:-1]) / len(values))[values]
    missing = (codes == last).astype(np.float64)
    return [scores, scores**2, *([missing] if missing.mean() > 0.005 else [])]


def _fit_categories(
    name: str, kind: Kind, values: list[str | None], times: NDArray[np.float64] | None
) -> ChannelBaseline:
    bins = category_bins(values)
    if kind == "boolean":
        bins = msgspec.structs.replace(bins, categories=("false", "true"), rare=(), singletons=0)
        values = [value if value in BOOLEANS else None for value in values]
    channel = ChannelBaseline(
        name=name,
        kind=kind,
        rows=len(values),
        categories=bins.categories,
        rare=bins.rare,
        singletons=bins.singletons,
        counts=(0,) * (len(bins.categories) + 3),
        ordered=times is not None,
    )
    codes = Coder(channel).code(values)
    counts = np.bincount(codes, minlength=len(channel.counts))
    channel = msgspec.structs.replace(
        channel, counts=tuple(counts.tolist()), reason=_no_categories(channel, counts)
    )
    if not channel.calibrated:
        return channel
    return _with_seasonal_shares(channel, codes, times)


def _with_seasonal_shares(
    channel: ChannelBaseline, codes: NDArray[np.int64], times: NDArray[np.float64] | None
) -> ChannelBaseline:
    """Return the channel with its season, as a table of shares or as dependence, whichever is worth more."""
    common = _common(channel)
    series = [(codes == j).astype(np.float64) for j in common]
    cycles = [
        c for c in TABLE_CYCLES if times is not None and any(differs_by_phase(s, times, c) for s in series)
    ]
    if times is None or not cycles:
        return _with_dependence(channel, series)
    left_in = _with_dependence(channel, series, rows_per_cycle(times, cycles[-1]))
    table = fit_shares(codes, len(channel.counts), times, cycles[0])
    if table is None:
        return left_in
    expected = table.shares(channel.probabilities())[table.cell(times)]
    rest = [s - expected[:, j] for s, j in zip(series, common, strict=True)]
    finer = any(differs_by_phase(r, times, "hour-of-week") for r in rest)
    block = rows_per_cycle(times, "hour-of-week") if finer else None
    return _better(_with_dependence(msgspec.structs.replace(channel, shares=table), rest, block), left_in)


def _better(followed: ChannelBaseline, left_in: ChannelBaseline) -> ChannelBaseline:
    """Return the channel that follows its season, unless one that leaves it in is worth twice the rows.

    A season that is left in is dependence like any other: it makes for long delays, but takes no
    estimate for each hour.
    """
    if left_in.calibrated and not followed.calibrated:
        return left_in
    twice = left_in.calibrated and left_in.effective_rows > 2 * followed.effective_rows
    return left_in if twice else followed


def _no_categories(channel: ChannelBaseline, counts: NDArray[np.int64]) -> str | None:
    """Return why these counts cannot be a baseline, None where they can."""
    usable = channel.rows - int(counts[-1])
    reason = _too_few(channel.rows, usable)
    if reason is not None:
        return reason
    if channel.singletons > MAX_UNSEEN * usable:
        return f"{channel.singletons} of {usable} values occur once: it looks like an identifier"
    if not channel.categories and channel.rare is None:
        return f"more than {MAX_RARE:,} values, none of them frequent: it looks like an identifier"
    if not channel.categories:
        return f"no category has {MIN_ROWS_PER_BIN} training rows"
    if (counts[:-1] > 0).sum() < 2:
        only = channel.categories[int(counts[:-1].argmax())]
        return f"every training value is {only!r}: there is no spread to measure change in"
    return None


def _too_few(rows: int, usable: int) -> str | None:
    if rows and not usable:
        return "every training value is missing or not usable"
    if usable < MIN_ROWS:
        return f"only {usable} usable training rows; {MIN_ROWS} are needed"
    return None


def _with_dependence(
    channel: ChannelBaseline, series: list[NDArray[np.float64]], block: int | None = None
) -> ChannelBaseline:
    """Return the channel with its design effect, or with the reason why that cannot be handled.

    Parameters
    ----------
    block
        Rows of the cycle that ``series`` still follow; None where they follow none.
    """
    if block is not None and channel.rows < MIN_BLOCKS * block:
        return msgspec.structs.replace(channel, reason=SEASON_UNFOLLOWED)
    counted = [s for s in series if channel.ordered or beyond_chance(s)]
    deff = max((design_effect(s, block) for s in counted), default=1.0)
    channel, reason = msgspec.structs.replace(channel, deff=deff), None
    if block is None and any(map(reaches_beyond, series)):
        reason = f"its values depend on each other over far more than {BLOCK} events: a trend or a slow cycle"
        if not channel.ordered:
            reason += ", or rows that are sorted and have no times"
    else:
        reason = worth_too_little(channel)
    return msgspec.structs.replace(channel, reason=reason)


def worth_too_little(channel: ChannelBaseline) -> str | None:
    """Return why a channel's rows are worth too few independent ones, None where they are enough."""
    if channel.effective_rows >= MIN_EFFECTIVE_ROWS:
        return None
    return (
        f"its values depend on each other or on the season so much that {channel.rows} rows are worth "
        f"{channel.effective_rows:.0f}; {MIN_EFFECTIVE_ROWS} are needed"
    )


def surely_depends(channel: ChannelBaseline, values: Column, times: NDArray[np.float64]) -> bool:
    """Return whether rows resemble each other beyond chance, apart from a season that is followed.

    Parameters
    ----------
    values, times
        Of the rows that the channel was fitted from, in the order of time, shape ``(n,)``.
    """
    codes = Coder(channel).code(values, times)
    if channel.kind == "numeric":
        return any(map(beyond_chance, _series(channel, codes)))
    common = _common(channel)
    series = [(codes == j).astype(np.float64) for j in common]
    if channel.shares is not None:
        expected = channel.shares.shares(channel.probabilities())[channel.shares.cell(times)]
        series = [s - expected[:, j] for s, j in zip(series, common, strict=True)]
    return any(map(beyond_chance, series))


def effect_apart_from_season(
    channel: ChannelBaseline, values: Column, times: NDArray[np.float64]
) -> float | None:
    """Return how much the rows of one hour resemble each other, whatever season they follow; None if unknown.

    That a season could not be followed says nothing about it.

    Parameters
    ----------
    values, times
        Of the rows that the channel was fitted from, in the order of time, shape ``(n,)``.
    """
    if channel.calibrated or channel.deff > 1:
        return channel.deff
    if channel.reason != SEASON_UNFOLLOWED:
        return None
    codes = Coder(channel).code(values, times)
    if channel.kind == "numeric":
        times = times[codes <= len(channel.edges)]  # of values only: the third series is of all
        series = _series(channel, codes)[:2]
    else:
        series = [(codes == j).astype(np.float64) for j in _common(channel)]
    return max((design_effect(apart_from_hours(one, times)) for one in series), default=1.0)


def _common(channel: ChannelBaseline) -> list[int]:
    """Return the bins of categories on which dependence is measured: neither rare nor nearly all."""
    return [j for j, n in enumerate(channel.counts) if 0.05 <= n / channel.rows <= 0.95]


def _time_order(times: Column | None) -> tuple[NDArray[np.int64] | None, NDArray[np.float64] | None]:
    if times is None:
        return None, None
    seconds = as_numbers(times)
    unusable = int(np.isnan(seconds).sum())
    if unusable:
        raise BundleError(f"the time column has {unusable} rows without a usable time")
    order = np.argsort(seconds, kind="stable")
    return order, seconds[order]


def _reorder(values: Column, order: NDArray[np.int64] | None) -> Column:
    if order is None:
        return values
    return values[order] if isinstance(values, np.ndarray) else [values[i] for i in order.tolist()]
