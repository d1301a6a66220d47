"""``model.toml`` as types: the contract that travels with a model.

The file is decoded strictly: an unknown key is an error that names it, because a misspelt
``nullable`` that is silently ignored costs more than a refused bundle.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec

from shared.bundle.gates import GatesSpec, gate_contradictions
from shared.bundle.truth import KpiSpec, kpi_contradictions
from shared.errors import BundleError

FeatureKind = Literal["numeric", "categorical", "boolean"]
Encoding = Literal["ordinal", "one-hot", "string"]
Task = Literal["binary", "multiclass", "regression"]
Seasonality = Literal["none", "day", "week"]

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$")]
Version = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._+-]{0,62}[A-Za-z0-9])?$")]


class FeatureSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One feature of the model, in the order of the model's input columns.

    Attributes
    ----------
    name
        Key in the event's ``features``.
    kind
        ``numeric``, ``categorical`` or ``boolean``.
    dtype
        ``float32``, ``float64``, ``int64``, ``string`` or ``bool``: what the ONNX input takes.
    unit
        For people and reports only ("minutes").
    min, max
        Inclusive range of a numeric feature; an event outside it is dead-lettered.
    categories
        The values a categorical feature may take, in the order of its codes.
    encoding
        How a categorical reaches the graph: ``ordinal`` (position in ``categories``), ``one-hot``
        (one column per category) or ``string`` (the graph encodes it).
    unknown
        What to do with a value outside ``categories``: ``reject`` dead-letters the event,
        ``missing`` scores it as a missing value (the feature must be nullable).
    nullable
        Whether null (or an absent key) is allowed; it reaches the graph as NaN, or as an
        empty string where ``encoding`` is ``string``.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    kind: FeatureKind = "numeric"
    dtype: Literal["float32", "float64", "int64", "string", "bool"] = "float32"
    unit: str | None = None
    min: float | None = None
    max: float | None = None
    categories: tuple[str, ...] | None = None
    encoding: Encoding = "ordinal"
    unknown: Literal["reject", "missing"] = "reject"
    nullable: bool = False

    @property
    def width(self) -> int:
        """Number of matrix columns the feature takes (1, or one per category)."""
        return len(self.categories or ()) if self.encoding == "one-hot" and self.kind == "categorical" else 1


class OutputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which ONNX output holds the score.

    Attributes
    ----------
    score
        Name of the ONNX output: float probabilities ``(n, classes)``, a float vector ``(n,)``
        or ``(n, 1)``.
    positive
        For a binary task with ``(n, 2)`` probabilities: the column of the positive class.
    """

    score: str
    positive: int = 1


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole ``model.toml``.

    Attributes
    ----------
    name, version
        Identity in the registry; a version is never rewritten.
    task
        ``binary``, ``multiclass`` or ``regression``.
    features
        Ordered; the order is the column order of a single-matrix ONNX input.
    output
        Which ONNX output is the score.
    classes
        Labels in column order. Binary: ``(negative, positive)``.
    threshold
        Binary decision threshold: the label is positive when ``score >= threshold``.
    window
        Length of a report window in seconds of event time, a year at most.
    false_alarms_per_30_days
        The drift budget of the model, all channels together.
    events_per_day
        How many events the model gets; left out, it is measured on the stream. The budget is translated
        into evidence with it.
    seasonality
        The longest rhythm that events may have: ``week``, ``day`` or ``none``. A drift baseline that does
        not span two rounds of it cannot tell it from drift: its channels are not calibrated.
    label_horizon
        Seconds after which a label counts as mature.
    quality_window
        Length in seconds of the windows of event time that realised quality is told for; 0 takes as
        many windows of ``window`` as make at least a 56th of the label horizon.
    kpis
        What decisions are worth, computed from labels and outcomes.
    segments
        Names of features by which quality and shadow comparisons are broken down.
    gates
        What a candidate must show before a rule promotes it; None: only people promote.
    description
        For people.
    """

    name: Name
    version: Version
    task: Task
    features: Annotated[tuple[FeatureSpec, ...], msgspec.Meta(min_length=1, max_length=2000)]
    output: OutputSpec
    classes: tuple[str, ...] = ()
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    window: Annotated[int, msgspec.Meta(ge=1, le=31_536_000)] = 60
    false_alarms_per_30_days: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    events_per_day: Annotated[float, msgspec.Meta(gt=0)] | None = None
    seasonality: Seasonality = "week"
    label_horizon: Annotated[int, msgspec.Meta(ge=0)] = 14 * 86_400
    quality_window: Annotated[int, msgspec.Meta(ge=0, le=31_536_000)] = 0
    kpis: tuple[KpiSpec, ...] = ()
    segments: tuple[str, ...] = ()
    gates: GatesSpec | None = None
    description: str = ""

    @property
    def width(self) -> int:
        """Columns of the encoded feature matrix."""
        return sum(feature.width for feature in self.features)


def decode_spec(raw: bytes) -> ModelSpec:
    """Return the specification in the bytes of a ``model.toml``.

    Raises
    ------
    BundleError
        The bytes are not TOML, a key is unknown, missing or of a wrong type, or two keys
        contradict each other; the message names the key.

    Examples
    --------
    >>> spec = decode_spec(b'''
    ... name = "demo"
    ... version = "1"
    ... task = "regression"
    ... output = {score = "variable"}
    ... features = [{name = "x"}]
    ... ''')
    >>> spec.features[0].kind, spec.width
    ('numeric', 1)
    """
    try:
        spec = msgspec.toml.decode(raw, type=ModelSpec)
    except msgspec.ValidationError as error:
        raise BundleError(f"model.toml: {error}") from error
    except msgspec.DecodeError as error:
        raise BundleError(f"model.toml is not TOML: {error}") from error
    problems = list(_contradictions(spec))
    if problems:
        raise BundleError("model.toml: " + "; ".join(problems))
    return spec


def _contradictions(spec: ModelSpec) -> list[str]:
    """Return one sentence per pair of keys that cannot both hold."""
    problems: list[str] = []
    names = [feature.name for feature in spec.features]
    problems += [f"feature {n!r} is declared twice" for n in sorted({n for n in names if names.count(n) > 1})]
    for feature in spec.features:
        problems += [f"features.{feature.name}: {text}" for text in _feature_contradictions(feature)]
    problems += [f"segments names {s!r}, which is no feature" for s in spec.segments if s not in names]
    if spec.task == "binary" and len(spec.classes) not in (0, 2):
        problems.append(f"classes has {len(spec.classes)} entries, a binary task takes two")
    if spec.task == "binary" and spec.output.positive not in (0, 1):
        problems.append(f"output.positive is {spec.output.positive}, a binary task has columns 0 and 1")
    if spec.task == "multiclass" and len(spec.classes) < 3:
        problems.append("classes must list three or more labels for a multiclass task")
    if spec.task == "regression" and spec.classes:
        problems.append("classes must be left out for a regression task")
    for key in ("false_alarms_per_30_days", "events_per_day"):
        if not math.isfinite(getattr(spec, key) or 1.0):
            problems.append(f"{key} must be a finite number")
    problems += kpi_contradictions(spec.kpis, spec.task)
    if len(set(spec.classes)) != len(spec.classes):
        problems.append("classes names a label twice")
    if spec.gates is not None:
        problems += gate_contradictions(spec.gates, spec.task, spec.segments)
    return problems


def _feature_contradictions(feature: FeatureSpec) -> list[str]:
    problems: list[str] = []
    if feature.kind == "categorical":
        if not feature.categories and feature.encoding != "string":
            problems.append(f"categories is needed for encoding {feature.encoding!r}")
        if feature.categories is not None and len(set(feature.categories)) != len(feature.categories):
            problems.append("categories names a value twice")
        if feature.categories == () and feature.encoding == "string":
            problems.append("categories is empty; leave it out to allow any string")
    elif feature.categories is not None:
        problems.append("categories belongs to a categorical feature")
    if feature.kind != "numeric" and (feature.min is not None or feature.max is not None):
        problems.append("min and max belong to a numeric feature")
    for key, bound in (("min", feature.min), ("max", feature.max)):
        if bound is not None and not math.isfinite(bound):
            problems.append(f"{key} is {bound}; leave it out where there is no bound")
    if feature.kind == "numeric" and feature.dtype in ("string", "bool"):
        problems.append(f"dtype {feature.dtype!r} is none of a numeric feature")
    if feature.min is not None and feature.max is not None and feature.min > feature.max:
        problems.append(f"min {feature.min:g} is above max {feature.max:g}")
    if feature.unknown == "missing" and not feature.nullable:
        problems.append("unknown = 'missing' needs nullable = true")
    return problems
