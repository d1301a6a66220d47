"""XGBoost boosters and estimators, by onnxmltools."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shared.bundle.convert.conversion import converted, serialise
from shared.bundle.convert.original import Facts, Floats, class_labels, encoded_matrix, pick
from shared.bundle.extras import need
from shared.bundle.spec import ModelSpec, Task
from shared.errors import BundleError


def load(path: Path) -> XGBoostModel:
    """Return the booster in a ``.json`` or ``.ubj`` file.

    Raises
    ------
    BundleError
        The file is no XGBoost model, or XGBoost is not installed.
    """
    xgboost = need("xgboost", "xgboost")
    try:
        return XGBoostModel(xgboost.Booster(model_file=str(path)), None)
    except xgboost.core.XGBoostError as error:
        first = str(error).strip().splitlines()[0]
        raise BundleError(f"{path} cannot be read as an XGBoost model: {first}") from error


def wrap(model: Any) -> XGBoostModel:
    """Return a booster or estimator as a model to package."""
    if hasattr(model, "get_booster"):
        classes = getattr(model, "classes_", None)
        return XGBoostModel(_best(model), None if classes is None else class_labels(classes))
    return XGBoostModel(model, None)


def _best(model: Any) -> Any:
    """Return an estimator's booster, cut where early stopping found it best, as ``predict`` does."""
    booster = model.get_booster()
    best = booster.attr("best_iteration")
    return booster if best is None else booster[: int(best) + 1]


class XGBoostModel:
    """A trained XGBoost booster, with class labels where its estimator knew them."""

    def __init__(self, booster: Any, classes: tuple[str, ...] | None) -> None:
        learner = json.loads(booster.save_config())["learner"]
        self._booster = booster
        self._objective = str(learner["objective"]["name"])
        self._kind = str(learner["gradient_booster"]["name"])
        self._classes = classes

    @property
    def title(self) -> str:
        """Return library and objective, for people."""
        return f"XGBoost {self._objective}, {self._booster.num_boosted_rounds()} rounds"

    @property
    def facts(self) -> Facts:
        """Return the task from the objective, and the columns where it was trained on named ones."""
        task: Task = "regression"
        if self._objective.startswith(("binary:", "multi:")):
            task = "binary" if self._objective.startswith("binary:") else "multiclass"
        names = self._booster.feature_names
        return Facts(
            score="variable" if task == "regression" else "probabilities",
            task=task,
            classes=None if task == "regression" else self._classes,
            features=None if names is None else tuple(names),
        )

    def to_onnx(self, spec: ModelSpec) -> bytes:
        """Return the graph with one matrix input; NaN takes each split's default branch.

        Raises
        ------
        BundleError
            onnxmltools cannot convert the model.
        """
        tools = need("onnxmltools", "xgboost")
        types = need("onnxmltools.convert.common.data_types", "xgboost")
        if self._kind != "gbtree":
            raise BundleError(f"XGBoost's booster {self._kind!r} cannot be converted: train with 'gbtree'")
        with converted("onnxmltools", tools.__version__, [self.title], {}):
            graph = tools.convert_xgboost(
                self._plain(), initial_types=[("features", types.FloatTensorType([None, spec.width]))]
            )
        return serialise(graph, spec.output.score)

    def _plain(self) -> Any:
        """Return a copy that onnxmltools reads: it knows no names but f0, f1, ... and no yes-no splits."""
        booster = copy.copy(self._booster)
        booster.feature_names = None
        types = self._booster.feature_types
        if types is not None:  # a boolean column's splits are dumped without their threshold
            booster.feature_types = [kind if kind == "c" else "q" for kind in types]
        return booster

    def predict(self, spec: ModelSpec, columns: Sequence[Sequence[Any]]) -> Floats:
        """Return the booster's own predictions."""
        xgboost = need("xgboost", "xgboost")
        matrix = xgboost.DMatrix(
            encoded_matrix(spec, columns),
            feature_names=self._booster.feature_names,
            feature_types=self._booster.feature_types,
            enable_categorical=True,
            nthread=1,
        )
        return pick(spec, np.asarray(self._booster.predict(matrix), dtype=np.float64))
