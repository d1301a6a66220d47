"""The models of the load test, trained here and packaged as Driftline bundles."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from loadtest.events import feature_names
from shared.bundle.infer import Wishes
from shared.bundle.package import package

ModelName = Literal["logistic", "trees", "forest"]
MODELS: tuple[ModelName, ...] = ("logistic", "trees")
"""Those that every scenario measures; the third size is for `scaling` alone."""
TITLES: dict[ModelName, str] = {
    "logistic": "logistic regression",
    "trees": "100 trees of depth 5",
    "forest": "500 trees of depth 5",
}
ROWS = 5_000
TREES: dict[ModelName, int] = {"trees": 100, "forest": 500}
DEPTH = 5


@dataclass(frozen=True, slots=True)
class Model:
    """A packaged model.

    Attributes
    ----------
    bundle
        Its directory.
    score
        Name of the graph's output with the probabilities.
    features
        Names in the order of the input's columns.
    """

    name: ModelName
    bundle: Path
    score: str
    features: tuple[str, ...]

    @property
    def graph(self) -> Path:
        """The ONNX file, which the peers load without the bundle around it."""
        return self.bundle / "model.onnx"


def make_model(
    name: ModelName, folder: Path, *, features: int = 10, seed: int = 0, version: str = "1"
) -> Model:
    """Train and package one model; every feature has a declared range, so that validation has work."""
    import pyarrow as pa

    random = np.random.default_rng(seed)
    rows = random.standard_normal((ROWS, features))
    weights = random.standard_normal(features)
    label = (rows @ weights + 0.5 * rows[:, 0] * rows[:, -1] + random.standard_normal(ROWS) > 0).astype(int)
    names = feature_names(features)
    table = pa.table(dict(zip(names, rows.T.copy(), strict=True)) | {"label": label})
    target = folder / f"{name}-{version}"
    wishes = Wishes(name=f"loadtest-{name}", version=version, target="label", ranges=2.0)
    packaged = package(_estimator(name).fit(rows, label), table, target, wishes=wishes)
    return Model(name, target, packaged.bundle.spec.output.score, tuple(names))


def _estimator(name: ModelName) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    if name == "logistic":
        return LogisticRegression()
    return GradientBoostingClassifier(
        n_estimators=TREES[name], max_depth=DEPTH, subsample=0.5, random_state=0
    )
