"""The drift baseline of a model: every channel, fitted from training data (``baseline.json``)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.bins import BOOLEANS, MAX_RARE, Coder, category_bins, numeric_edges
from shared.drift.channel import MIN_ROWS_PER_BIN, ChannelBaseline, Kind
from shared.drift.dependence import BLOCK, design_effect, reaches_beyond
from shared.drift.label_baseline import LabelBaseline
from shared.drift.normal_scores import bin_scores
from shared.drift.phases import differs_by_phase, fit_phases
from shared.drift.values import as_category, as_numbers
from shared.errors import BundleError

MIN_EFFECTIVE_ROWS = 500
MAX_UNSEEN = 0.5

Column = Sequence[Any] | NDArray[Any]


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All channels of one model.

    Attributes
    ----------
    channels
        Of the features, in the model's order; also those that are not calibrated, with the reason.
    predictions
        Of the model's own answers on the training rows: ``score`` and, for a classifier, ``predicted_class``.
        They are counted where the predictions are, so they are a baseline of their own
        (:meth:`of_predictions`).
    labels
        What the score meant: label given score. None where the training data had no labels.
    learnt
        Whether it was learnt from the first events of the stream, for want of training data: those
        may have drifted already, and cannot show a season.
    format
        Version of this layout.
    """

    channels: tuple[ChannelBaseline, ...]
    predictions: tuple[ChannelBaseline, ...] = ()
    labels: LabelBaseline | None = None
    learnt: bool = False
    format: Literal[1] = 1

    def __post_init__(self) -> None:
        names = [channel.name for channel in (*self.channels, *self.predictions)]
        if len(set(names)) != len(names):
            raise ValueError("two channels of the baseline have the same name")

    @property
    def calibrated(self) -> tuple[ChannelBaseline, ...]:
        """The feature channels that take part in detection."""
        return tuple(channel for channel in self.channels if channel.calibrated)

    def of_predictions(self) -> Baseline:
        """Return the channels of the predictions as a baseline: what a counter of predictions takes."""
        return Baseline(channels=self.predictions)

    def encode(self) -> bytes:
        """Return the bytes of ``baseline.json``; the same baseline always gives the same bytes."""
        return msgspec.json.encode(self)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the encoded baseline: detector state belongs to exactly one."""
        return hashlib.sha256(self.encode()).hexdigest()


def decode_baseline(raw: bytes) -> Baseline:
    """Return the baseline in the bytes of a ``baseline.json``.

    Raises
    ------
    BundleError
        The bytes are not a baseline of this format, or contradict themselves.

    Examples
    --------
    >>> baseline = fit_baseline({"late": [False, True] * 500}, {"late": "boolean"})
    >>> decode_baseline(baseline.encode()) == baseline
    True
    """
    try:
        return msgspec.json.decode(raw, type=Baseline)
    except msgspec.DecodeError as error:
        raise BundleError(f"baseline.json: {error}") from error


def fit_baseline(
    columns: Mapping[str, Column], kinds: Mapping[str, Kind], times: Column | None = None
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
        Without it neither seasons nor autocorrelation can be measured: each channel then says
        ``ordered = False``, and its guarantee holds only if events are independent.

    Raises
    ------
    BundleError
        A feature has no column, columns differ in length, or a time is not a number.
    """
    order, when = _time_order(times)
    lengths = {len(columns[name]) for name in kinds if name in columns}
    if when is not None:
        lengths.add(len(when))
    if len(lengths) > 1:
        raise BundleError(f"training columns differ in length: {sorted(lengths)} rows")
    channels = []
    for name, kind in kinds.items():
        if name not in columns:
            raise BundleError(f"the training data has no column {name!r}", field=f"features.{name}")
        channels.append(fit_channel(name, kind, _reorder(columns[name], order), when))
    return Baseline(channels=tuple(channels))


def fit_channel(
    name: str, kind: Kind, values: Column, times: NDArray[np.float64] | None = None
) -> ChannelBaseline:
    """Return the baseline of one channel; one that cannot be calibrated says why in ``reason``.

    Parameters
    ----------
    values
        Training values, shape ``(n,)``; in time order where ``times`` is given.
    times
        Ascending seconds since 1970 UTC, shape ``(n,)``.

    Examples
    --------
    >>> fit_channel("gate", "categorical", ["A", None] * 100).reason
    'only 100 usable training rows; 500 are needed'
    """
    if kind == "numeric":
        return _fit_numeric(name, as_numbers(values), times)
    raw = values.tolist() if isinstance(values, np.ndarray) else values
    return _fit_categories(name, kind, [as_category(value) for value in raw], times)


def _fit_numeric(
    name: str, numbers: NDArray[np.float64], times: NDArray[np.float64] | None
) -> ChannelBaseline:
    rows, usable = len(numbers), int(np.isfinite(numbers).sum())
    reason = _too_few(rows, usable)
    if reason is None and np.nanmin(numbers) == np.nanmax(numbers):
        reason = f"every training value is {np.nanmin(numbers):g}: there is no spread to measure change in"
    if reason is not None:
        return ChannelBaseline(name=name, kind="numeric", rows=rows, ordered=times is not None, reason=reason)
    phases = fit_phases(numbers, times) if times is not None else None
    if phases is not None and times is not None:
        numbers = phases.standardise(numbers, times)
    present = np.sort(numbers[np.isfinite(numbers)])
    edges = numeric_edges(present)
    codes = np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="right"))
    counts = np.bincount(codes, minlength=len(edges) + 2)
    sums = np.bincount(codes[codes <= len(edges)], numbers[codes <= len(edges)], len(edges) + 1)
    channel = ChannelBaseline(
        name=name,
        kind="numeric",
        rows=rows,
        edges=tuple(edges.tolist()),
        centres=tuple((sums / np.maximum(counts[:-1], 1)).tolist()),
        sd=float(present.std()),
        counts=tuple(counts.tolist()),
        phases=phases,
        ordered=times is not None,
        reason=None if len(edges) else "fewer than two distinct values have 20 training rows",
    )
    if times is None or not channel.calibrated:
        return channel
    scores = bin_scores(counts[:-1] / usable)[codes[codes <= len(edges)]]
    missing = (codes == len(edges) + 1).astype(np.float64)
    return _with_dependence(channel, [scores, scores**2, *([missing] if missing.mean() > 0.005 else [])])


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
    if times is None or not channel.calibrated:
        return channel
    common = [j for j in range(len(counts)) if 0.05 <= counts[j] / len(values) <= 0.95]
    series = [(codes == j).astype(np.float64) for j in common]
    if any(differs_by_phase(indicator, times) for indicator in series):
        reason = "its shares change with the hour or the weekday, which only numeric channels can follow"
        return msgspec.structs.replace(channel, reason=reason)
    return _with_dependence(channel, series)


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
    if usable < MIN_EFFECTIVE_ROWS:
        return f"only {usable} usable training rows; {MIN_EFFECTIVE_ROWS} are needed"
    return None


def _with_dependence(channel: ChannelBaseline, series: list[NDArray[np.float64]]) -> ChannelBaseline:
    """Return the channel with its design effect, or with the reason why that cannot be handled."""
    deff = max((design_effect(s) for s in series), default=1.0)
    channel = msgspec.structs.replace(channel, deff=deff)
    reason = None
    if any(reaches_beyond(s, deff) for s in series):
        reason = f"its values depend on each other over far more than {BLOCK} events: a trend or a slow cycle"
    elif channel.effective_rows < MIN_EFFECTIVE_ROWS:
        reason = (
            f"its values depend on each other or on the season so much that {channel.rows} rows are worth "
            f"{channel.effective_rows:.0f}; {MIN_EFFECTIVE_ROWS} are needed"
        )
    return msgspec.structs.replace(channel, reason=reason)


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
