"""scikit-learn estimators and pipelines, by skl2onnx.

An estimator on numbers becomes a graph with one matrix input. A pipeline that picks its columns
(``ColumnTransformer``) or encodes strings itself becomes a graph with one input per feature.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.bundle.convert.conversion import converted, serialise
from shared.bundle.convert.original import Facts, Floats, class_labels, encoded_matrix, pick
from shared.bundle.extras import need
from shared.bundle.spec import FeatureSpec, ModelSpec
from shared.errors import BundleError

_HINTS = {
    "HistGradientBoosting": "train a GradientBoosting, LightGBM or XGBoost model instead",
}
_BOOSTER_OPSET = {"": 18, "ai.onnx.ml": 3}
"""The newest that onnxmltools' converters write trees for."""


def wrap(model: Any) -> SklearnModel:
    """Return an estimator as a model to package.

    Raises
    ------
    BundleError
        It is neither a classifier with probabilities nor a regressor, or was never fitted.
    """
    return SklearnModel(model)


class SklearnModel:
    """A fitted scikit-learn classifier, regressor or pipeline that ends in one.

    Raises
    ------
    BundleError
        It is neither a classifier with probabilities nor a regressor, or was never fitted.
    """

    def __init__(self, model: Any) -> None:
        base = need("sklearn.base", "sklearn")
        name = type(model).__name__
        if not base.is_classifier(model) and not base.is_regressor(model):
            raise BundleError(f"{name} is neither a classifier nor a regressor")
        self._classifier = bool(base.is_classifier(model))
        if self._classifier and not hasattr(model, "predict_proba"):
            raise BundleError(f"{name} has no predict_proba: wrap it in CalibratedClassifierCV")
        if self._classifier and not hasattr(model, "classes_"):
            raise BundleError(f"{name} was never fitted")
        self._model = model
        self._parts = list(_parts(model))

    @property
    def title(self) -> str:
        """Return library and class, for people."""
        last = type(self._parts[-1]).__name__
        own = type(self._model).__name__
        return f"scikit-learn {own}" + (f" ending in {last}" if own == "Pipeline" else "")

    @property
    def facts(self) -> Facts:
        """Return task and classes, and the columns where it was trained on named ones."""
        names = getattr(self._model, "feature_names_in_", None)
        classes = class_labels(self._model.classes_) if self._classifier else None
        return Facts(
            score="probabilities" if self._classifier else "variable",
            task="regression" if classes is None else "binary" if len(classes) == 2 else "multiclass",
            classes=classes,
            features=None if names is None else tuple(names),
            encoding="string" if len(self._parts) > 1 else "ordinal",
        )

    def to_onnx(self, spec: ModelSpec) -> bytes:
        """Return the graph, with a matrix input or one input per feature.

        Raises
        ------
        BundleError
            skl2onnx has no converter for a part of the model, or its converter fails.
        """
        skl2onnx = need("skl2onnx", "sklearn")
        boosted = _register_boosters(self._parts)
        names = [type(part).__name__ for part in self._parts]
        with converted("skl2onnx", skl2onnx.__version__, names, _HINTS):
            graph = skl2onnx.convert_sklearn(
                self._model,
                initial_types=self._initial_types(spec),
                options={id(self._model): {"zipmap": False}} if self._classifier else None,
                target_opset=_BOOSTER_OPSET if boosted else None,
            )
        return serialise(graph, spec.output.score)

    def predict(self, spec: ModelSpec, columns: Sequence[Sequence[Any]]) -> Floats:
        """Return ``predict_proba``, or ``predict`` for a regression."""
        inputs = self._frame(spec, columns) if self._by_column(spec) else encoded_matrix(spec, columns)
        with warnings.catch_warnings():
            # A model trained on a frame, given the encoded matrix: the order was checked by name.
            warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
            raw = self._model.predict_proba(inputs) if self._classifier else self._model.predict(inputs)
        return pick(spec, np.asarray(raw, dtype=np.float64))

    def _by_column(self, spec: ModelSpec) -> bool:
        picks = any(type(part).__name__ == "ColumnTransformer" for part in self._parts)
        return picks or any(_is_string(feature) for feature in spec.features)

    def _initial_types(self, spec: ModelSpec) -> list[tuple[str, Any]]:
        types = need("skl2onnx.common.data_types", "sklearn")
        if not self._by_column(spec):
            return [("features", types.FloatTensorType([None, spec.width]))]
        by_dtype = {"int64": types.Int64TensorType, "bool": types.BooleanTensorType}
        initial = []
        for feature in spec.features:
            kind = types.StringTensorType if _is_string(feature) else types.FloatTensorType
            if not feature.nullable:
                kind = by_dtype.get(feature.dtype, kind)
            initial.append((feature.name, kind([None, feature.width])))
        return initial

    @property
    def _missing(self) -> Any:
        """Return what a missing string was in training: '' where an encoder has learnt it, else NaN.

        The graph gets ''. An encoder that learnt NaN as a category of its own cannot be served so,
        and the comparison with the original must show it.
        """
        learnt = [list(values) for part in self._parts for values in getattr(part, "categories_", ())]
        return "" if any("" in values for values in learnt) else np.nan

    def _frame(self, spec: ModelSpec, columns: Sequence[Sequence[Any]]) -> Any:
        """Return the rows as the pipeline saw them in training: a frame, or an array without names."""
        pandas = need("pandas", "sklearn")
        missing = {
            feature.name: self._missing if _is_string(feature) else np.nan for feature in spec.features
        }
        data = {
            feature.name: [missing[feature.name] if value is None else value for value in column]
            for feature, column in zip(spec.features, columns, strict=True)
        }
        frame = pandas.DataFrame(data)
        named = getattr(self._model, "feature_names_in_", None) is not None
        return frame if named else _array(frame)


def _array(frame: Any) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = frame.to_numpy()
    return array


def _is_string(feature: FeatureSpec) -> bool:
    return feature.kind == "categorical" and feature.encoding == "string"


def _parts(model: Any) -> Iterator[Any]:
    """Yield the pieces of a pipeline, of its column transformers, and its last step last."""
    steps = getattr(model, "steps", None)
    if steps is not None:
        for _, step in steps:
            yield from _parts(step)
    elif type(model).__name__ == "ColumnTransformer":
        yield model
        for _, step, _ in getattr(model, "transformers_", model.transformers):
            yield from _parts(step)
    elif not isinstance(model, str) and model is not None:  # "passthrough", "drop"
        yield model


def _register_boosters(parts: Sequence[Any]) -> bool:
    """Tell skl2onnx how to convert XGBoost and LightGBM estimators; return whether there are any."""
    boosters = [part for part in parts if type(part).__module__.partition(".")[0] in ("xgboost", "lightgbm")]
    for part in boosters:
        from shared.bundle.convert.registration import register

        register(type(part), type(part).__module__.partition(".")[0])
    return bool(boosters)
