"""``model.toml`` drafted from what the model says of itself, the training data, and the person's wishes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from shared.bundle.convert.original import Facts, class_labels
from shared.bundle.extras import need
from shared.bundle.spec import FeatureSpec, ModelSpec, OutputSpec, Seasonality, Task, decode_spec
from shared.bundle.write import encode_spec
from shared.errors import BundleError

MAX_CATEGORIES = 1000
"""More distinct strings than this in a column are taken for an identifier, not a category."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a person says about the model; None leaves it to the model, the data or ``model.toml``.

    Attributes
    ----------
    target, time_column, exclude
        Columns of the data that are no features.
    features
        The features in order, instead of all remaining columns.
    nullable
        Features that may be null although the data has no null in them.
    ranges
        Declare each numeric feature's observed range, widened on both sides by this fraction of it.
    open_categories
        Leave string-encoded features without a list of categories, so that an unseen one is scored.
    score
        Name of the ONNX output with the score.
    name, version, task, threshold, classes, segments, window, seasonality, positive, description
        As in ``model.toml``.
    """

    name: str | None = None
    version: str | None = None
    task: Task | None = None
    target: str | None = None
    time_column: str | None = None
    exclude: tuple[str, ...] = ()
    features: tuple[str, ...] | None = None
    nullable: tuple[str, ...] = ()
    ranges: float | None = None
    open_categories: bool = False
    score: str | None = None
    positive: int | None = None
    threshold: float | None = None
    classes: tuple[str, ...] | None = None
    segments: tuple[str, ...] | None = None
    window: int | None = None
    seasonality: Seasonality | None = None
    description: str | None = None


_DIRECT = (
    "name", "version", "task", "threshold", "classes", "segments", "window", "seasonality", "description",
)  # fmt: skip


def apply_wishes(spec: ModelSpec, wishes: Wishes) -> ModelSpec:
    """Return ``spec`` with what the person said replaced, checked again as if read from a file.

    Raises
    ------
    BundleError
        A wish contradicts the rest of the contract; the message names the key.
    """
    changes = {key: getattr(wishes, key) for key in _DIRECT if getattr(wishes, key) is not None}
    output = spec.output
    if wishes.score is not None:
        output = msgspec.structs.replace(output, score=wishes.score)
    if wishes.positive is not None:
        output = msgspec.structs.replace(output, positive=wishes.positive)
    return decode_spec(encode_spec(msgspec.structs.replace(spec, output=output, **changes)))


def infer_spec(facts: Facts, table: Any, wishes: Wishes) -> ModelSpec:
    """Return a contract for a model and the table it was trained on.

    Raises
    ------
    BundleError
        Name, version or task is neither given nor known, a column cannot be a feature, or the
        result contradicts itself; the message names the column or the option.
    """
    if wishes.name is None or wishes.version is None:
        raise BundleError("without a model.toml, --name and --version are needed")
    task = wishes.task or facts.task or _task_of(table, wishes.target)
    spec = ModelSpec(
        name=wishes.name,
        version=wishes.version,
        task=task,
        features=tuple(_feature(table, name, facts, wishes) for name in _names(facts, table, wishes)),
        output=OutputSpec(score=wishes.score or facts.score),
        classes=_classes(task, facts, table, wishes),
    )
    return apply_wishes(spec, wishes)


def _names(facts: Facts, table: Any, wishes: Wishes) -> tuple[str, ...]:
    """Return the features in the model's order: as said, else as it was trained, else as in the data."""
    columns = list(table.column_names)
    for option, named in (("--target", wishes.target), ("--time-column", wishes.time_column)):
        if named is not None and named not in columns:
            raise BundleError(f"{option} {named!r} is no column of the data (columns: {', '.join(columns)})")
    if wishes.features is not None:
        return wishes.features
    if facts.features is not None and set(facts.features) <= set(columns):
        return facts.features
    left_out = {wishes.target, wishes.time_column, *wishes.exclude}
    return tuple(name for name in columns if name not in left_out)


def _feature(table: Any, name: str, facts: Facts, wishes: Wishes) -> FeatureSpec:
    if name not in table.column_names:
        raise BundleError(
            f"feature {name} is no column of the data (columns: {', '.join(table.column_names)})"
        )
    types = need("pyarrow.types", "package")
    column = table.column(name)
    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    nullable = name in wishes.nullable or _has_missing(column)
    if types.is_boolean(kind):
        return FeatureSpec(name=name, kind="boolean", nullable=nullable)
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        low, high = _range(column, wishes.ranges)
        return FeatureSpec(name=name, nullable=nullable, min=low, max=high)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return _categorical(name, column, facts, wishes, nullable)
    raise BundleError(
        f"column {name} is of type {column.type}, which is no number, boolean or string: "
        f"leave it out with --exclude {name}, or name it as --time-column"
    )


def _has_missing(column: Any) -> bool:
    compute = need("pyarrow.compute", "package")
    nan = column.type in (need("pyarrow", "package").float32(), need("pyarrow", "package").float64())
    return bool(column.null_count or (nan and compute.any(compute.is_nan(column)).as_py()))


def _range(column: Any, margin: float | None) -> tuple[float | None, float | None]:
    compute = need("pyarrow.compute", "package")
    if margin is None:
        return None, None
    values = column.cast("float64")
    span = compute.min_max(values.filter(compute.is_finite(values)))
    low, high = span["min"].as_py(), span["max"].as_py()
    if low is None:
        return None, None
    return low - margin * (high - low), high + margin * (high - low)


def _categorical(name: str, column: Any, facts: Facts, wishes: Wishes, nullable: bool) -> FeatureSpec:
    build: Callable[..., FeatureSpec] = lambda categories: FeatureSpec(  # noqa: E731
        name=name,
        kind="categorical",
        dtype="string" if facts.encoding == "string" else "float32",
        categories=categories,
        encoding=facts.encoding,
        nullable=nullable,
    )
    if wishes.open_categories and facts.encoding == "string":
        return build(None)
    categories = facts.categories.get(name) or _distinct(column)
    if len(categories) > MAX_CATEGORIES:
        raise BundleError(
            f"column {name} has {len(categories)} distinct strings, more than {MAX_CATEGORIES}: "
            f"leave it out with --exclude {name}, or declare it in a model.toml"
        )
    return build(categories)


def _distinct(column: Any) -> tuple[str, ...]:
    """Return the categories: a dictionary column's own order (pandas' codes), else sorted."""
    if need("pyarrow.types", "package").is_dictionary(column.type):
        return tuple(column.unify_dictionaries().chunk(0).dictionary.to_pylist())
    return tuple(sorted(value for value in column.unique().to_pylist() if value is not None))


def _target_values(table: Any, target: str | None) -> list[Any]:
    if target is None:
        return []
    return sorted(value for value in table.column(target).unique().to_pylist() if value is not None)


def _task_of(table: Any, target: str | None) -> Task:
    """Return the task that the target column suggests."""
    if target is None:
        raise BundleError(
            "the model does not say its task: give --task, or --target to tell it from the data"
        )
    values = _target_values(table, target)
    if len(values) <= 2:
        return "binary"
    return "multiclass" if isinstance(values[0], str) else "regression"


def _classes(task: Task, facts: Facts, table: Any, wishes: Wishes) -> tuple[str, ...]:
    if task == "regression":
        return ()
    if wishes.classes is not None:
        return wishes.classes
    if facts.classes is not None:
        return facts.classes
    labels = class_labels(_target_values(table, wishes.target))
    return labels if task == "multiclass" or len(labels) == 2 else ()
