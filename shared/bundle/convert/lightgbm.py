"""LightGBM boosters and estimators, by onnxmltools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared.bundle.convert.conversion import converted, serialise
from shared.bundle.convert.original import Facts, Floats, class_labels, encoded_matrix, pick
from shared.bundle.extras import need
from shared.bundle.spec import ModelSpec, Task
from shared.errors import BundleError


def load(path: Path) -> LightGBMModel:
    """Return the booster in a ``.txt`` file.

    Raises
    ------
    BundleError
        The file is no LightGBM model, or LightGBM is not installed.
    """
    lightgbm = need("lightgbm", "lightgbm")
    try:
        return LightGBMModel(lightgbm.Booster(model_file=str(path)), None)
    except lightgbm.basic.LightGBMError as error:
        raise BundleError(f"{path} cannot be read as a LightGBM model: {error}") from error


def wrap(model: Any) -> LightGBMModel:
    """Return a booster or estimator as a model to package."""
    if hasattr(model, "booster_"):
        classes = getattr(model, "classes_", None)
        return LightGBMModel(model.booster_, None if classes is None else class_labels(classes))
    return LightGBMModel(model, None)


class LightGBMModel:
    """A trained LightGBM booster, with class labels where its estimator knew them."""

    def __init__(self, booster: Any, classes: tuple[str, ...] | None) -> None:
        self._booster = booster
        self._dump = booster.dump_model(num_iteration=booster.best_iteration)
        self._objective = str(self._dump.get("objective", "")).partition(" ")[0]
        self._classes = classes

    @property
    def title(self) -> str:
        """Return library and objective, for people."""
        return f"LightGBM {self._objective}, {self._booster.num_trees()} trees"

    @property
    def facts(self) -> Facts:
        """Return the task from the objective, and columns and categories where it knows them."""
        task: Task = "regression"
        if self._objective in ("binary", "cross_entropy"):
            task = "binary"
        elif self._objective in ("multiclass", "multiclassova"):
            task = "multiclass"
        names = tuple(self._booster.feature_name())
        generic = all(name == f"Column_{index}" for index, name in enumerate(names))
        return Facts(
            score="variable" if task == "regression" else "probabilities",
            task=task,
            classes=None if task == "regression" else self._classes,
            features=None if generic else names,
            categories=self._categories(),
        )

    def _categories(self) -> dict[str, tuple[str, ...]]:
        """Return pandas' category order by column, which LightGBM keeps with the model."""
        kept = self._booster.pandas_categorical or []
        infos = self._dump["feature_infos"]
        names = [name for name in self._dump["feature_names"] if infos.get(name, {}).get("values")]
        if len(names) != len(kept):  # a column that no tree uses cannot be told from a numeric one
            return {}
        pairs = zip(names, kept, strict=True)
        return {name: tuple(order) for name, order in pairs if all(isinstance(v, str) for v in order)}

    def to_onnx(self, spec: ModelSpec) -> bytes:
        """Return the graph with one matrix input; NaN takes each split's default branch.

        Raises
        ------
        BundleError
            onnxmltools cannot convert the model.
        """
        tools = need("onnxmltools", "lightgbm")
        types = need("onnxmltools.convert.common.data_types", "lightgbm")
        if self._dump.get("average_output"):
            raise BundleError("LightGBM's boosting 'rf' cannot be converted: train with 'gbdt' or 'dart'")
        with converted("onnxmltools", tools.__version__, [self.title], {}):
            graph = tools.convert_lightgbm(
                self._booster,
                initial_types=[("features", types.FloatTensorType([None, spec.width]))],
                zipmap=False,
            )
        return serialise(graph, spec.output.score)

    def predict(self, spec: ModelSpec, columns: Sequence[Sequence[Any]]) -> Floats:
        """Return the booster's own predictions."""
        raw = self._booster.predict(encoded_matrix(spec, columns), num_threads=1)
        return pick(spec, np.asarray(raw, dtype=np.float64))
