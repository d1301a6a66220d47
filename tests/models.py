"""Small real ONNX graphs and bundles of them, for tests."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from shared.bundle.read import Bundle, load_bundle
from shared.bundle.spec import FeatureSpec, ModelSpec, OutputSpec
from shared.bundle.write import encode_spec


def linear(width: int, weights: list[float] | None = None, bias: float = 0.0) -> onnx.ModelProto:
    """sigmoid(X w + b) as two probability columns: X (n, width) -> probabilities (n, 2)."""
    w = np.array(weights if weights is not None else np.linspace(-1, 1, width), dtype=np.float32)[:, None]
    nodes = [
        helper.make_node("MatMul", ["X", "w"], ["z0"]),
        helper.make_node("Add", ["z0", "b"], ["z"]),
        helper.make_node("Sigmoid", ["z"], ["p1"]),
        helper.make_node("Sub", ["one", "p1"], ["p0"]),
        helper.make_node("Concat", ["p0", "p1"], ["probabilities"], axis=1),
    ]
    constants = {"w": w, "b": np.array([bias], np.float32), "one": np.array([1], np.float32)}
    return _graph(nodes, constants, width, "probabilities", 2)


def table(values: list[float]) -> onnx.ModelProto:
    """X (n, 1) -> values[X], which makes ONNX Runtime raise for a row that is out of bounds."""
    nodes = [
        helper.make_node("Cast", ["X"], ["index"], to=TensorProto.INT64),
        helper.make_node("Squeeze", ["index", "axis"], ["flat"]),
        helper.make_node("Gather", ["values", "flat"], ["score"]),
    ]
    constants = {"values": np.array(values, np.float32), "axis": np.array([1], np.int64)}
    return _graph(nodes, constants, 1, "score", None)


def _graph(
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    width: int,
    output: str,
    columns: int | None,
) -> onnx.ModelProto:
    shape = ["n"] if columns is None else ["n", columns]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def numeric_spec(width: int = 3, *, name: str = "demo", version: str = "1", **extra: object) -> ModelSpec:
    """A binary model of ``width`` numeric features f0, f1, ... in [-1000, 1000]."""
    features = tuple(FeatureSpec(name=f"f{i}", min=-1000, max=1000) for i in range(width))
    fields = {"task": "binary", "output": OutputSpec(score="probabilities"), "classes": ("no", "yes")} | extra
    return ModelSpec(name=name, version=version, features=features, **fields)  # type: ignore[arg-type]


def table_spec(size: int, *, name: str = "table", version: str = "1") -> ModelSpec:
    """A regression that looks its one feature up in a table, and fails where there is no such row."""
    return ModelSpec(
        name=name,
        version=version,
        task="regression",
        features=(FeatureSpec(name="row", min=0, max=1_000_000),),
        output=OutputSpec(score="score"),
    )


def write_bundle(
    directory: Path, model: onnx.ModelProto, spec: ModelSpec, baseline: bytes | None = None
) -> Bundle:
    """A bundle on disk, read back."""
    directory.mkdir(parents=True)
    (directory / "model.onnx").write_bytes(model.SerializeToString())
    (directory / "model.toml").write_bytes(encode_spec(spec))
    names = ["model.onnx", "model.toml"]
    if baseline is not None:
        (directory / "baseline.json").write_bytes(baseline)
        names.insert(0, "baseline.json")
    sums = "".join(
        f"{hashlib.sha256((directory / name).read_bytes()).hexdigest()}  {name}\n" for name in names
    )
    (directory / "SHA256SUMS").write_text(sums)
    return load_bundle(directory)
