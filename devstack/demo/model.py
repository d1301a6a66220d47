"""The demo's bundle: trained and packaged once, found again by the content of code and data."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import version as library_version
from pathlib import Path

import msgspec
import pandas as pd

import shared.bundle
import shared.drift
import shared.scoring
from devstack.demo.contract import flight_spec
from devstack.demo.flights import DATA_FILES, FEATURES, data_file
from devstack.demo.recipes import CHAMPION, Recipe
from devstack.demo.train import monthly_auc, train
from devstack.settings import cache_dir
from shared.bundle.infer import Wishes
from shared.bundle.package import package
from shared.bundle.read import load_bundle
from shared.bundle.write import encode_spec
from shared.errors import BundleError

_CODE = ("flights.py", "contract.py", "recipes.py", "train.py", "model.py")
_LIBRARIES = ("numpy", "pandas", "scikit-learn", "skl2onnx", "onnx", "scipy")
_AUC = "auc.json"
_BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class FlightModel:
    """A bundle ready to be registered.

    Attributes
    ----------
    bundle
        Its directory.
    version
        Its version, which names the training data and changes with code and data.
    auc
        Area under the ROC curve by month of 2013; measured for the champion only.
    fresh
        Whether it was trained just now.
    """

    bundle: Path
    version: str
    auc: dict[int, float]
    fresh: bool


def prepare_model(frame: pd.DataFrame, cache: Path | None = None, recipe: Recipe = CHAMPION) -> FlightModel:
    """Return a version of the flight model, from the cache where the same code met the same data before.

    Parameters
    ----------
    frame
        The frame of :func:`devstack.demo.flights.load_flights`.
    cache
        Where models are kept; devstack's cache folder by default.
    recipe
        Which version.
    """
    key = content_key()
    version = f"{recipe.name}-{key[:8]}"
    home = (cache or cache_dir()) / "demo-models" / key / recipe.name
    found = _cached(home, version)
    if found is not None:
        return found
    home.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=home.parent))
    try:
        _build(frame, draft, version, recipe)
        if _cached(home, version) is None:
            shutil.rmtree(home, ignore_errors=True)  # a damaged one, if any
        draft.rename(home)
    except OSError:
        # Another demo was first: what it built is the same, since the key is.
        if _cached(home, version) is None:
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    built = _cached(home, version)
    if built is None:
        raise BundleError(f"the model just written to {home} cannot be read back")
    return FlightModel(built.bundle, built.version, built.auc, fresh=True)


def content_key() -> str:
    """Return a hash of everything that decides what the bundle is: code, libraries and data."""
    digest = hashlib.sha256()
    for path in (*_code_files(), *(data_file(name) for name in DATA_FILES)):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    for library in _LIBRARIES:
        digest.update(f"{library}=={library_version(library)}\0".encode())
    return digest.hexdigest()[:16]


def _code_files() -> list[Path]:
    ours = [Path(__file__).with_name(name) for name in _CODE]
    packages = (
        Path(package.__file__ or "").parent for package in (shared.bundle, shared.drift, shared.scoring)
    )
    return ours + [path for folder in packages for path in sorted(folder.rglob("*.py"))]


def _cached(home: Path, version: str) -> FlightModel | None:
    """Return the model in ``home``; None where there is none or it is damaged."""
    try:
        auc = msgspec.json.decode((home / _AUC).read_bytes(), type=dict[int, float])
        load_bundle(home / _BUNDLE)
    except (FileNotFoundError, msgspec.DecodeError, BundleError):
        return None
    return FlightModel(home / _BUNDLE, version, auc, fresh=False)


def _build(frame: pd.DataFrame, folder: Path, version: str, recipe: Recipe) -> None:
    """Train, measure and package into ``folder``."""
    import pyarrow as pa

    rows = recipe.rows(frame)
    spec = flight_spec(recipe.known(frame), version)
    estimator = train(rows, spec)
    toml = folder / "model.toml"
    toml.write_bytes(encode_spec(spec))
    data = pa.Table.from_pandas(rows[[*FEATURES, "late", "occurred_at"]], preserve_index=False)
    wishes = Wishes(time_column="occurred_at", target="late")
    package(estimator, data, folder / _BUNDLE, toml=toml, wishes=wishes)
    auc = monthly_auc(estimator, frame, spec) if recipe is CHAMPION else {}
    (folder / _AUC).write_bytes(msgspec.json.encode(auc))
