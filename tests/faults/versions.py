"""Versions of the model that a run serves: made, published, and spoilt where a fault wants it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from shared.bundle.truth import KpiSpec
from shared.drift import Baseline, fit_baseline
from shared.drift.prediction_channels import fit_predictions
from tests.faults.answers import coefficients
from tests.faults.limits import EVENTS_PER_DAY
from tests.faults.traffic import KPIS
from tests.models import linear, numeric_spec, write_bundle


def bundle_of(version: str, folder: Path) -> Path:
    """Write the bundle of a version, which answers as :mod:`tests.faults.answers` says; return its path."""
    kpis = tuple(
        KpiSpec(name=name, value=value, missing=0 if name == "sales" else None)
        for name, value in KPIS.items()
    )
    spec = numeric_spec(
        3,
        version=version,
        window=3600,
        quality_window=3600,
        events_per_day=EVENTS_PER_DAY,
        label_horizon=30 * 86_400,
        kpis=kpis,
    )
    return write_bundle(folder, linear(3, *coefficients(version)), spec, fitted().encode()).path


def spoil(store: Path, version: str) -> None:
    """Flip bytes in the middle of the version's graph, as a bad disk does."""
    spoiled = 0
    for file in store.rglob("*.onnx"):
        if version in file.parts:
            raw = bytearray(file.read_bytes())
            middle = len(raw) // 2
            raw[middle : middle + 8] = b"\0" * 8
            file.write_bytes(raw)
            spoiled += 1
    assert spoiled, f"version {version} has no graph in {store}"


@cache
def fitted() -> Baseline:
    """Return the baseline of all versions: the features of the traffic, and scores as the first one gives."""
    rng = np.random.default_rng(1)
    columns = {f"f{i}": rng.normal(size=20_000) for i in range(3)}
    baseline = fit_baseline(columns, dict.fromkeys(columns, "numeric"))
    logits = 0.1 * columns["f0"] + 0.2 * columns["f1"] - 0.3 * columns["f2"] + 0.1
    scores = 1 / (1 + np.exp(-logits))
    classes = ["yes" if score >= 0.5 else "no" for score in scores.tolist()]
    return msgspec.structs.replace(baseline, predictions=fit_predictions(list(columns), scores, classes))
