"""Which library a model belongs to, by its class or by its file's suffix."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.bundle.convert.original import Original
from shared.errors import BundleError

PICKLES = (".pkl", ".pickle", ".joblib")


def open_model(model: Any) -> Original:
    """Return a model, ready to be converted and compared.

    Parameters
    ----------
    model
        An estimator or booster, or a path. **A pickled file runs code when it is opened: only
        open files of your own.**

    Raises
    ------
    BundleError
        Its suffix or class is unknown, or the library that reads it is not installed.
    """
    if not isinstance(model, Path):
        return _wrap(model)
    if not model.is_file():
        raise BundleError(f"{model} is no file")
    suffix = model.suffix.lower()
    if suffix == ".onnx":
        from shared.bundle.convert.graph import OnnxFile

        return OnnxFile(model)
    if suffix in (".json", ".ubj", ".txt"):
        module = "lightgbm" if suffix == ".txt" else "xgboost"
        load: Callable[[Path], Original] = importlib.import_module(f"shared.bundle.convert.{module}").load
        return load(model)
    if suffix in PICKLES:
        return _wrap(_unpickle(model))
    raise BundleError(
        f"{model.name}: a model is read from .onnx, .json or .ubj (XGBoost), .txt (LightGBM), "
        f"or {', '.join(PICKLES)} files"
    )


def _wrap(model: Any) -> Original:
    """Return the converter for an object, chosen by its class and never by importing its library."""
    if hasattr(model, "to_onnx") and hasattr(model, "facts"):
        return model  # type: ignore[no-any-return]
    modules = [cls.__module__.partition(".")[0] for cls in type(model).__mro__]
    for library in ("xgboost", "lightgbm", "sklearn"):
        if library in modules:
            wrap: Callable[[Any], Original] = importlib.import_module(f"shared.bundle.convert.{library}").wrap
            return wrap(model)
    raise BundleError(
        f"{type(model).__name__} of {type(model).__module__} is no scikit-learn, XGBoost or LightGBM model: "
        "export it to ONNX and package the .onnx file"
    )


def _unpickle(path: Path) -> Any:
    """Return the object in a pickle; joblib reads both its own files and plain pickles."""
    from shared.bundle.extras import need

    joblib = need("joblib", "sklearn")
    try:
        return joblib.load(path)
    except ModuleNotFoundError as error:
        raise BundleError(f"{path} needs the module {error.name!r}, which is not installed here") from error
    except Exception as error:  # a damaged pickle can raise anything
        raise BundleError(f"{path} cannot be unpickled: {type(error).__name__}: {error}") from error
