import numpy as np
import pandas as pd
import pytest

from devstack.demo.contract import flight_spec
from devstack.demo.flights import FEATURES
from devstack.demo.train import TREES, encode, monthly_auc, train, training_rows
from shared.bundle.spec import ModelSpec, decode_spec


@pytest.fixture(scope="module")
def spec(year: pd.DataFrame) -> ModelSpec:
    return flight_spec(training_rows(year), "test")


@pytest.fixture(scope="module")
def auc(year: pd.DataFrame, spec: ModelSpec) -> dict[int, float]:
    return monthly_auc(train(training_rows(year), spec), year, spec)


def test_training_ends_with_march(year: pd.DataFrame) -> None:
    assert len(training_rows(year)) == 26_398 + 23_611 + 27_902
    assert training_rows(year)["month"].max() == 3


def test_features_stand_in_the_order_of_the_frame(spec: ModelSpec) -> None:
    assert tuple(feature.name for feature in spec.features) == FEATURES
    assert spec.width == len(FEATURES) + 2  # the three origins are one column each


def test_the_contract_survives_its_own_file(spec: ModelSpec) -> None:
    msgspec_toml = pytest.importorskip("tomli_w")
    import msgspec

    document = msgspec.to_builtins(spec)
    without_null = _without_null(document)
    assert decode_spec(msgspec_toml.dumps(without_null).encode()) == spec


def _without_null(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_null(item) for item in value]
    return value


def test_every_real_flight_is_inside_the_declared_ranges(year: pd.DataFrame, spec: ModelSpec) -> None:
    for feature in spec.features:
        if feature.kind == "numeric":
            assert year[feature.name].min() >= feature.min, feature.name
            assert year[feature.name].max() <= feature.max, feature.name


def test_destinations_opened_after_march_are_unknown_and_nothing_else_is(
    year: pd.DataFrame, spec: ModelSpec
) -> None:
    declared = {feature.name: set(feature.categories or ()) for feature in spec.features}
    assert set(year["carrier"]) == declared["carrier"]
    assert set(year["origin"]) == declared["origin"] == {"EWR", "JFK", "LGA"}
    assert set(year["dest"]) - declared["dest"] == {"ABQ", "ACK", "ANC", "ILM", "LEX", "MVY", "SBN", "TVC"}


def test_an_unknown_destination_and_a_missing_reading_are_nan(year: pd.DataFrame, spec: ModelSpec) -> None:
    row = year.head(1).assign(dest="ACK", temp=np.nan)
    names = [f.name for f in spec.features for _ in range(f.width)]
    missing = {name for name, value in zip(names, encode(row, spec)[0], strict=True) if np.isnan(value)}
    assert missing == {"dest", "temp"}


def test_the_model_is_as_good_as_the_issue_says(auc: dict[int, float]) -> None:
    expected = [0.916, 0.920, 0.941, 0.886, 0.926, 0.918, 0.914, 0.895, 0.915, 0.874, 0.885, 0.905]
    assert list(auc) == list(range(1, 13))
    assert list(auc.values()) == pytest.approx(expected, abs=0.006)


def test_the_model_is_worse_in_april_august_and_october_than_in_training(auc: dict[int, float]) -> None:
    assert max(auc[4], auc[8], auc[10]) < min(auc[1], auc[2], auc[3]) - 0.015


def test_it_has_sixty_trees(year: pd.DataFrame, spec: ModelSpec) -> None:
    rows = training_rows(year).sample(2_000, random_state=0)
    assert train(rows, spec)[-1].n_estimators_ == TREES == 60
