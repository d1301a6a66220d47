"""XGBoost and LightGBM estimators as the last step of a scikit-learn pipeline."""

from __future__ import annotations

from typing import Any

from shared.bundle.extras import need
from shared.errors import BundleError

_CONVERTERS = {"xgboost": ("XGBoost", "convert_xgboost"), "lightgbm": ("LightGbm", "convert_lightgbm")}


def register(estimator: type, library: str) -> None:
    """Register onnxmltools' converter of an estimator class with skl2onnx.

    Raises
    ------
    BundleError
        onnxmltools is not installed.
    """
    classifier = estimator.__name__.endswith("Classifier")
    room, function = _CONVERTERS[library]
    operators = need(f"onnxmltools.convert.{library}.operator_converters.{room}", library)
    shapes = need("skl2onnx.common.shape_calculator", "sklearn")
    skl2onnx = need("skl2onnx", "sklearn")
    if not estimator.__name__.endswith(("Classifier", "Regressor")):
        raise BundleError(f"{estimator.__name__} of {library} is neither a classifier nor a regressor")
    calculate: Any = (
        shapes.calculate_linear_classifier_output_shapes
        if classifier
        else shapes.calculate_linear_regressor_output_shapes
    )
    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]} if classifier else None
    skl2onnx.update_registered_converter(
        estimator, f"Driftline{estimator.__name__}", calculate, getattr(operators, function), options=options
    )
