"""The drift baseline of a model: every channel, fitted from training data (``baseline.json``)."""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from shared.drift.channel import ChannelBaseline
from shared.drift.joint import JointBaseline
from shared.drift.label_baseline import LabelBaseline
from shared.drift.residual_baseline import ResidualBaseline
from shared.drift.segments import SegmentTable
from shared.errors import BundleError
from shared.messages import NOT_JSON


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All channels of one model.

    Attributes
    ----------
    channels
        Of the features, in the model's order; also those that are not calibrated, with the reason.
    joint
        How the numeric features move together. None where there are fewer than two to watch.
    predictions
        Of the model's own answers on the training rows: ``score`` and, for a classifier, ``predicted_class``.
        They are counted where the predictions are, so they are a baseline of their own
        (:meth:`of_predictions`).
    labels
        What the score meant: label given score. None where the training data had no labels.
    residuals
        What the errors of a regression were like, given its predictions. Not there, where it is none or there
        were no labels.
    segments
        How the channels were filled within each category of some features: where a change is.
    learnt
        Whether it was learnt from the first events of the stream, for want of training data: those
        may have drifted already, and cannot show a season.
    span
        Seconds from the first training row to the last; 0 where the rows have no times.
    format
        Version of this layout.
    """

    channels: tuple[ChannelBaseline, ...]
    joint: JointBaseline | None = None
    predictions: tuple[ChannelBaseline, ...] = ()
    labels: LabelBaseline | None = None
    residuals: ResidualBaseline | msgspec.UnsetType = msgspec.UNSET
    segments: tuple[SegmentTable, ...] = ()
    learnt: bool = False
    span: float = 0.0
    format: Literal[1] = 1

    def __post_init__(self) -> None:
        names = [channel.name for channel in (*self.watched, *self.predictions)]
        if len(set(names)) != len(names):
            raise ValueError("two channels of the baseline have the same name")

    @property
    def watched(self) -> tuple[ChannelBaseline, ...]:
        """The channels counted where the events are: of the features, then joint ones."""
        return (*self.channels, *(self.joint.channels if self.joint else ()))

    @property
    def calibrated(self) -> tuple[ChannelBaseline, ...]:
        """Those of them that take part in detection."""
        return tuple(channel for channel in self.watched if channel.calibrated)

    @property
    def truths(self) -> LabelBaseline | ResidualBaseline | None:
        """What labels are held against, where they can be watched."""
        given = self.residuals if isinstance(self.residuals, ResidualBaseline) else self.labels
        return given if given is not None and given.calibrated else None

    @property
    def ordered(self) -> bool:
        """Whether the rows came with times: else no season was looked for, nor their order checked."""
        return any(channel.ordered for channel in (*self.channels, *self.predictions))

    def of_predictions(self) -> Baseline:
        """Return the channels of the predictions as a baseline: what a counter of predictions takes."""
        return Baseline(channels=self.predictions, span=self.span)

    def of_features(self) -> Baseline:
        """Return what is counted where the events are, as a baseline."""
        return Baseline(channels=self.channels, joint=self.joint, segments=self.segments, span=self.span)

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
    >>> from shared.drift.fitting import fit_baseline
    >>> baseline = fit_baseline({"late": [False, True] * 500}, {"late": "boolean"})
    >>> decode_baseline(baseline.encode()) == baseline
    True
    """
    try:
        return msgspec.json.decode(raw, type=Baseline)
    except NOT_JSON as error:
        raise BundleError(f"baseline.json: {error}") from error
