"""The drift baseline of a bundle: fitted from the training data and the model's own answers on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from shared.bundle.convert.original import class_labels
from shared.bundle.data import as_feature_rows, decode_rows
from shared.bundle.extras import need
from shared.bundle.read import BASELINE_NAME, Bundle
from shared.bundle.spec import FeatureSpec, ModelSpec
from shared.bundle.times import read_times
from shared.drift import Baseline, fit_baseline
from shared.drift.baseline import decode_baseline
from shared.drift.label_baseline import RATES_KNOWN, LabelBaseline, fit_labels
from shared.drift.prediction_channels import fit_predictions
from shared.drift.residual_baseline import ResidualBaseline, fit_residuals
from shared.drift.rhythm import not_calibrated, span_of, unseen_rhythm, without_rhythm
from shared.drift.segments import MOST_FEATURES
from shared.drift.values import as_category, as_numbers
from shared.errors import BundleError
from shared.scoring.scorer import Scorer

CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class Training:
    """The data a baseline is fitted from.

    Attributes
    ----------
    table
        A ``pyarrow.Table`` with the columns of the features.
    time_column
        Column with the time of each row; without it seasons and autocorrelation go unmeasured.
    target
        Column with the truth; without it there is no label given score, nor residuals of a regression.
    held_out
        Rows that the model was not fitted to, with the same columns: the score, the class, label given
        score and residuals are then fitted from them, since a model flatters itself on its training data.
    """

    table: Any
    time_column: str | None = None
    target: str | None = None
    held_out: Any = None


def fit_bundle_baseline(spec: ModelSpec, scorer: Scorer, training: Training) -> Baseline:
    """Return the baseline of a model: its features, its answers, and what its score meant.

    A channel that cannot be calibrated is in it with the reason; such a channel never alarms. That is so
    of all of them where the rows do not show two rounds of the rhythm that the model's events may have.

    Raises
    ------
    BundleError
        A column is missing, or the time column is unusable.
    """
    table = training.table
    times = read_times(table, training.time_column) if training.time_column else None
    columns = {feature.name: feature_column(table, feature) for feature in spec.features}
    kinds = {feature.name: feature.kind for feature in spec.features}
    baseline = fit_baseline(columns, kinds, times, segment_features(spec))
    unseen = unseen_rhythm(spec.seasonality, None if times is None else span_of(times))
    if unseen is not None:
        baseline = without_rhythm(baseline, unseen)
    answers = _score_all(spec, scorer, _in_time_order(training))
    if not len(answers.scores):
        return baseline
    names = [feature.name for feature in spec.features]
    predictions = fit_predictions(names, answers.scores, answers.classes, answers.times)
    held_out = training.held_out is not None
    labels, residuals = _labels(spec, answers, held_out), _residuals(spec, answers, held_out)
    unseen = unseen_rhythm(spec.seasonality, None if answers.times is None else span_of(answers.times))
    if unseen is not None:
        predictions = tuple(not_calibrated(channel, unseen) for channel in predictions)
        if labels is not None and labels.calibrated:
            labels = msgspec.structs.replace(labels, reason=RATES_KNOWN + unseen)
        if isinstance(residuals, ResidualBaseline) and residuals.calibrated:
            residuals = msgspec.structs.replace(residuals, reason=unseen)
    return msgspec.structs.replace(baseline, predictions=predictions, labels=labels, residuals=residuals)


def segment_features(spec: ModelSpec) -> tuple[str, ...]:
    """Return the features by whose categories an alarm says where a change is.

    The segments that the model declares, those of them that have categories; where it declares none, its
    first categorical and boolean features.
    """
    kinds = {feature.name: feature.kind for feature in spec.features}
    names = spec.segments or tuple(kinds)
    return tuple(name for name in names if kinds[name] != "numeric")[:MOST_FEATURES]


def load_baseline(bundle: Bundle) -> Baseline | None:
    """Return the baseline in a bundle, None where it has none.

    Raises
    ------
    BundleError
        Its ``baseline.json`` is no baseline, or one of other features than ``model.toml`` declares.
    """
    path = bundle.baseline_path
    if path is None:
        return None
    try:
        baseline = decode_baseline(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}") from error
    declared = tuple((feature.name, feature.kind) for feature in bundle.spec.features)
    found = tuple((channel.name, channel.kind) for channel in baseline.channels)
    if declared != found:
        odd = sorted({name for name, _ in set(declared) ^ set(found)})
        raise BundleError(f"{BASELINE_NAME} does not belong to model.toml: they differ in {', '.join(odd)}")
    return baseline


def feature_column(table: Any, feature: FeatureSpec) -> Sequence[Any] | npt.NDArray[Any]:
    """Return a column as the values that events would carry, shape ``(n,)``.

    Raises
    ------
    BundleError
        There is no such column.
    """
    if feature.name not in table.column_names:
        raise BundleError(
            f"the data has no column for feature {feature.name} (columns: {', '.join(table.column_names)})"
        )
    types = need("pyarrow.types", "package")
    column = table.column(feature.name)
    numbers = types.is_floating(column.type) or types.is_integer(column.type) or types.is_decimal(column.type)
    if feature.kind == "numeric" and numbers:
        return np.asarray(column.cast("float64").to_numpy(), dtype=np.float64)
    values: list[Any] = column.to_pylist()
    return values


@dataclass(frozen=True, slots=True)
class _Answers:
    """The model's answers on the rows that fit its contract, in time order where there are times."""

    scores: npt.NDArray[np.floating[Any]]
    classes: list[str | None]
    truth: list[Any] | None
    times: npt.NDArray[np.float64] | None


def _in_time_order(training: Training) -> Training:
    """Return the rows to score, sorted: the held-out ones where there are any."""
    table = training.table if training.held_out is None else training.held_out
    if training.time_column:
        order = np.argsort(read_times(table, training.time_column), kind="stable")
        table = table.take(order)
    return Training(table, training.time_column, training.target)


def _score_all(spec: ModelSpec, scorer: Scorer, training: Training) -> _Answers:
    """Score every row, through the decoder that events go through; rows that it refuses count for nothing."""
    scores: list[npt.NDArray[np.floating[Any]]] = [np.empty(0)]
    classes: list[str | None] = []
    kept: list[int] = []
    for start in range(0, training.table.num_rows, CHUNK):
        decoded = decode_rows(spec, as_feature_rows(training.table.slice(start, CHUNK), spec.features))
        if not len(decoded):
            continue
        answers = scorer.predict(decoded.features)
        good = [row for row in range(len(decoded)) if row not in answers.failed]
        answers = answers.select(good)
        scores.append(answers.score)
        classes += answers.labels(spec)
        positions = decoded.kept if decoded.kept is not None else range(len(decoded))
        kept += [start + positions[row] for row in good]
    times = read_times(training.table, training.time_column)[kept] if training.time_column else None
    return _Answers(np.concatenate(scores), classes, _truth(training, kept), times)


def _truth(training: Training, kept: list[int]) -> list[Any] | None:
    if training.target is None:
        return None
    if training.target not in training.table.column_names:
        raise BundleError(f"--target {training.target!r} is no column of the data")
    truth: list[Any] = training.table.column(training.target).take(kept).to_pylist()
    return truth


def _labels(spec: ModelSpec, answers: _Answers, held_out: bool) -> LabelBaseline | None:
    """Return label given score: of the positive class (binary) or of a right answer (multiclass)."""
    if answers.truth is None or spec.task == "regression":
        return None
    names = spec.classes or ("0", "1")
    label_of = _class_names(answers.truth, names)
    known = [i for i, value in enumerate(answers.truth) if as_category(value) in label_of]
    truth = [label_of[as_category(answers.truth[i])] for i in known]
    wanted = [names[1] if spec.task == "binary" else answers.classes[i] for i in known]
    outcome = np.array([a == b for a, b in zip(truth, wanted, strict=True)], dtype=np.float64)
    scores = np.clip(answers.scores[known].astype(np.float64), 0.0, 1.0)
    return fit_labels(scores, outcome, ordered=answers.times is not None, held_out=held_out)


def _residuals(spec: ModelSpec, answers: _Answers, held_out: bool) -> ResidualBaseline | msgspec.UnsetType:
    """Return what the errors of a regression are like; rows whose truth is no number count for nothing."""
    if answers.truth is None or spec.task != "regression":
        return msgspec.UNSET
    predicted = answers.scores.astype(np.float64)
    return fit_residuals(
        predicted, as_numbers(answers.truth), ordered=answers.times is not None, held_out=held_out
    )


def _class_names(truth: list[Any], names: Sequence[str]) -> dict[str | None, str]:
    """Return the class that each value of the target column means: by its name, else by its order.

    A column of 0 and 1 for the classes ``on_time`` and ``late`` is taken in the classes' order, as
    the model that was trained on it does.
    """
    values = {value for value in truth if value is not None}
    known = {as_category(value) for value in values}
    if not known <= set(names) and len(known) == len(names):
        try:
            return dict(zip(class_labels(sorted(values)), names, strict=True))
        except TypeError:  # values of several types have no order
            return {}
    return {name: name for name in names}
