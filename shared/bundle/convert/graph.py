"""A model that is an ONNX file already: its bytes go into the bundle as they are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from shared.bundle.convert.original import Facts, Floats
from shared.bundle.extras import need
from shared.bundle.spec import ModelSpec, Task
from shared.errors import BundleError


class OnnxFile:
    """An ONNX file, opened by ONNX Runtime to ask for its inputs and outputs.

    Raises
    ------
    BundleError
        The file cannot be read or is no graph that ONNX Runtime runs.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._bytes = path.read_bytes()
        except OSError as error:
            raise BundleError(f"{path} cannot be read: {error.strerror}") from error
        self._session = open_session(self._bytes, str(path))

    @property
    def title(self) -> str:
        """Return what it is, for people."""
        return f"ONNX file {self._path.name}"

    @cached_property
    def facts(self) -> Facts:
        """Return the input names where they are features, and the output that looks like a score."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        score = _score_output(outputs)
        columns = score.shape[1] if len(score.shape) == 2 and isinstance(score.shape[1], int) else None
        task: Task | None = None
        if columns is not None and columns > 1:
            task = "binary" if columns == 2 else "multiclass"
        strings = any(node.type == "tensor(string)" for node in inputs)
        names = tuple(node.name for node in inputs) if len(inputs) > 1 or strings else None
        return Facts(score.name, task, features=names, encoding="string" if strings else "ordinal")

    def to_onnx(self, spec: ModelSpec) -> bytes:
        """Return the file's own bytes."""
        return self._bytes

    def predict(self, spec: ModelSpec, columns: Sequence[Sequence[Any]]) -> Floats:
        """Return the graph's scores."""
        from shared.scoring.scorer import Scorer

        scores = Scorer(spec, self._session).predict(columns)
        return scores.score if scores.probabilities is None else scores.probabilities


def open_session(model: bytes | Path, title: str) -> Any:
    """Return an ``onnxruntime.InferenceSession`` on the CPU, with one thread.

    Raises
    ------
    BundleError
        ONNX Runtime refuses the graph.
    """
    runtime = need("onnxruntime", "cli")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    try:
        return runtime.InferenceSession(source, sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common base
        raise BundleError(f"{title} cannot be loaded by ONNX Runtime: {error}") from error


def _score_output(outputs: Sequence[Any]) -> Any:
    """Return the output that most likely is the score: probabilities, else a float, else the last."""
    for node in outputs:
        if node.name in ("probabilities", "output_probability"):
            return node
    floats = [node for node in outputs if node.type in ("tensor(float)", "tensor(double)")]
    return (floats or list(outputs))[-1]
