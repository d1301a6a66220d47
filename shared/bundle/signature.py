"""Does the ONNX graph take what ``model.toml`` declares? Asked of names, types and shapes only.

A graph takes either one tensor ``(n, width)`` with all features in order, or one input per
feature, named as the feature, of shape ``(n, 1)`` or ``(n,)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.bundle.spec import FeatureSpec, ModelSpec
from shared.errors import BundleError

_FLOATS = {"tensor(float)", "tensor(double)"}
_INTEGERS = {"tensor(int64)", "tensor(int32)"}
_STRING_HINT = " (declare encoding = 'string' where the graph encodes the categories)"


class Node(Protocol):
    """What ONNX Runtime says of one graph input or output."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def type(self) -> str: ...  # noqa: D102

    @property
    def shape(self) -> Sequence[int | str | None]: ...  # noqa: D102


class Session(Protocol):
    """The part of ``onnxruntime.InferenceSession`` that is read here."""

    def get_inputs(self) -> Sequence[Any]: ...  # noqa: D102

    def get_outputs(self) -> Sequence[Any]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Tensor:
    """A graph input or output by hand, where no session is at hand (tests, examples)."""

    name: str
    type: str
    shape: Sequence[int | str | None]


def is_matrix(spec: ModelSpec, inputs: Sequence[Node]) -> bool:
    """Return whether the graph takes all features as one tensor, not one input per feature."""
    alone = len(spec.features) == 1 and len(inputs) == 1 and inputs[0].name == spec.features[0].name
    return len(inputs) == 1 and not alone


def check_signature(spec: ModelSpec, session: Session) -> None:
    """Check the graph of a session against the model's contract.

    Raises
    ------
    BundleError
        Inputs or the score output do not fit; the message names every feature at fault.
    """
    problems = signature_problems(spec, session.get_inputs(), session.get_outputs())
    if problems:
        raise BundleError("model.onnx does not fit model.toml: " + "; ".join(problems))


def signature_problems(spec: ModelSpec, inputs: Sequence[Node], outputs: Sequence[Node]) -> list[str]:
    """Return one sentence per mismatch, none where the graph fits.

    Examples
    --------
    >>> from shared.bundle.spec import OutputSpec
    >>> spec = ModelSpec(name="m", version="1", task="regression", output=OutputSpec(score="y"),
    ...                  features=(FeatureSpec(name="a"), FeatureSpec(name="b")))
    >>> wide, score = Tensor("X", "tensor(float)", ["n", 3]), Tensor("y", "tensor(float)", ["n"])
    >>> signature_problems(spec, [wide], [score])
    ['input X takes 3 columns, the declared features make 2 (a, b)']
    """
    if is_matrix(spec, inputs):
        return [*_matrix_problems(spec, inputs[0]), *_output_problems(spec, outputs)]
    by_name = {node.name: node for node in inputs}
    declared = [feature.name for feature in spec.features]
    problems = [
        f"feature {name} has no input in the graph (inputs: {_some(by_name)})"
        for name in declared
        if name not in by_name
    ]
    problems += [
        f"input {name} of the graph is no declared feature" for name in by_name if name not in declared
    ]
    for feature in spec.features:
        if feature.name in by_name:
            problems += [
                f"feature {feature.name} {text}" for text in _input_problems(feature, by_name[feature.name])
            ]
    return problems + _output_problems(spec, outputs)


def _matrix_problems(spec: ModelSpec, node: Node) -> list[str]:
    if node.type not in _FLOATS | _INTEGERS:
        return [
            f"input {node.name} takes {node.type}; a graph with one input takes numbers, "
            "and strings need one input per feature, named as the feature"
        ]
    problems = []
    if len(node.shape) != 2:
        problems.append(f"input {node.name} has the shape {_shape(node)}, expected (n, {spec.width})")
    elif isinstance(node.shape[1], int) and node.shape[1] != spec.width:
        problems.append(
            f"input {node.name} takes {node.shape[1]} columns, the declared features make {spec.width} "
            f"({_some([_columns(feature) for feature in spec.features])})"
        )
    problems += _batch_problems(node, "input")
    for feature in spec.features:
        problems += [f"feature {feature.name} {text}" for text in _number_problems(feature, node)]
    return problems


def _input_problems(feature: FeatureSpec, node: Node) -> list[str]:
    problems = _number_problems(feature, node)
    width = feature.width
    if len(node.shape) == 1 and width == 1:
        return problems + _batch_problems(node, "input")
    if len(node.shape) != 2:
        return [*problems, f"has an input of shape {_shape(node)}, expected (n, {width})"]
    if isinstance(node.shape[1], int) and node.shape[1] != width:
        problems.append(f"has an input of {node.shape[1]} columns, its declaration makes {width}")
    return problems + _batch_problems(node, "input")


def _number_problems(feature: FeatureSpec, node: Node) -> list[str]:
    """Return what an input's type cannot hold of the feature's values."""
    strings = feature.kind == "categorical" and feature.encoding == "string"
    if strings != (node.type == "tensor(string)"):
        wanted = "tensor(string)" if strings else "a tensor of numbers"
        hint = "" if strings or feature.kind != "categorical" else _STRING_HINT
        return [f"needs {wanted}, the input {node.name} takes {node.type}{hint}"]
    if strings or node.type in _FLOATS:
        return []
    if feature.nullable:
        return [f"is nullable, and the input {node.name} of {node.type} cannot hold a missing value"]
    if node.type == "tensor(int32)" and feature.dtype == "int64" and not _fits_int32(feature):
        return [f"is int64, the input {node.name} of {node.type} needs min and max within 32 bits"]
    if node.type in _INTEGERS:
        fraction = feature.kind == "numeric" and feature.dtype not in ("int64", "bool")
        return (
            [f"is {feature.dtype}, the input {node.name} of {node.type} would cut its fraction"]
            if fraction
            else []
        )
    if node.type == "tensor(bool)":
        return (
            []
            if feature.kind == "boolean"
            else [f"is {feature.kind}, the input {node.name} takes {node.type}"]
        )
    return [f"has an input of the unsupported type {node.type}"]


def _fits_int32(feature: FeatureSpec) -> bool:
    low, high = feature.min, feature.max
    return low is not None and high is not None and low >= -(2**31) and high < 2**31


def _output_problems(spec: ModelSpec, outputs: Sequence[Node]) -> list[str]:
    node = next((node for node in outputs if node.name == spec.output.score), None)
    if node is None:
        return [f"output.score is {spec.output.score!r}, the graph has {_some([n.name for n in outputs])}"]
    if node.type.startswith(("seq(", "map(")):
        return [
            f"output {node.name} is a sequence of maps (ZipMap), which is slow and no tensor: "
            "convert the model again with zipmap=False"
        ]
    if node.type not in _FLOATS:
        return [f"output {node.name} is {node.type}, a score is tensor(float) or tensor(double)"]
    return _batch_problems(node, "output") + _score_shape_problems(spec, node)


def _score_shape_problems(spec: ModelSpec, node: Node) -> list[str]:
    columns = node.shape[1] if len(node.shape) == 2 else None
    known = isinstance(columns, int)
    if spec.task == "multiclass":
        fits, wanted = len(node.shape) == 2, f"(n, {len(spec.classes)})"
        fits = fits and (not known or columns == len(spec.classes))
    elif spec.task == "binary":
        fits, wanted = (
            len(node.shape) in (1, 2) and (not known or columns in (1, 2)),
            "(n, 2), (n, 1) or (n,)",
        )
    else:
        fits, wanted = len(node.shape) in (1, 2) and (not known or columns == 1), "(n, 1) or (n,)"
    return (
        []
        if fits
        else [f"output {node.name} has the shape {_shape(node)}, task {spec.task!r} needs {wanted}"]
    )


def _batch_problems(node: Node, what: str) -> list[str]:
    """Return a problem where the first axis is fixed: micro-batches differ in length."""
    if node.shape and isinstance(node.shape[0], int):
        return [
            f"{what} {node.name} has a fixed first axis of {node.shape[0]}; export it with a dynamic batch"
        ]
    return []


def _columns(feature: FeatureSpec) -> str:
    return feature.name if feature.width == 1 else f"{feature.name} x {feature.width}"


def _shape(node: Node) -> str:
    return "(" + ", ".join("n" if size is None else str(size) for size in node.shape) + ")"


def _some(names: Sequence[str] | dict[str, Any], limit: int = 12) -> str:
    listed = list(names)
    return ", ".join(listed[:limit]) + (f" and {len(listed) - limit} more" if len(listed) > limit else "")
