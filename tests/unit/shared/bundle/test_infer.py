"""The contract drafted from a table: kinds, nulls, ranges, categories, task and classes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, feather, parquet

from shared.bundle.convert.original import Facts
from shared.bundle.data import as_columns, read_table, sample_rows
from shared.bundle.infer import Wishes, infer_spec
from shared.bundle.spec import FeatureSpec
from shared.errors import BundleError

TABLE = pa.table(
    {
        "x": [1.0, float("nan"), 3.0],
        "k": pa.array([1, 5, 3]),
        "b": [True, False, None],
        "c": ["b", "a", None],
        "y": [0, 1, 1],
    }
)
BINARY = Facts("p", task="binary")


def infer(table: pa.Table = TABLE, facts: Facts = BINARY, **wished: Any) -> Any:
    wishes = {"name": "m", "version": "1", "target": "y", **wished}
    return infer_spec(facts, table, Wishes(**wishes))


def refusal(table: pa.Table = TABLE, facts: Facts = BINARY, **wished: Any) -> str:
    with pytest.raises(BundleError) as caught:
        infer(table, facts, **wished)
    return str(caught.value)


def test_kinds_nulls_and_categories_come_from_the_columns() -> None:
    assert infer().features == (
        FeatureSpec(name="x", nullable=True),
        FeatureSpec(name="k"),
        FeatureSpec(name="b", kind="boolean", nullable=True),
        FeatureSpec(name="c", kind="categorical", categories=("a", "b"), nullable=True),
    )


def test_a_model_that_encodes_strings_gets_them() -> None:
    feature = infer(facts=Facts("p", "binary", encoding="string")).features[3]
    assert (feature.encoding, feature.dtype, feature.categories) == ("string", "string", ("a", "b"))
    open_feature = infer(facts=Facts("p", "binary", encoding="string"), open_categories=True).features[3]
    assert open_feature.categories is None


def test_ranges_only_when_asked_for_widened_by_the_margin() -> None:
    x, k, *_ = infer(ranges=0.25).features
    assert (x.min, x.max) == (0.5, 3.5)
    assert (k.min, k.max) == (0.0, 6.0)


def test_the_model_knows_its_columns_and_their_order() -> None:
    assert [f.name for f in infer(facts=Facts("p", "binary", features=("k", "x"))).features] == ["k", "x"]
    assert [
        f.name for f in infer(facts=Facts("p", "binary", features=("f0", "f1")), exclude=("b",)).features
    ] == [
        "x",
        "k",
        "c",
    ]
    assert [f.name for f in infer(features=("c", "k")).features] == ["c", "k"]


def test_categories_of_the_model_before_those_of_the_data() -> None:
    assert infer(facts=Facts("p", "binary", categories={"c": ("b", "a")})).features[3].categories == (
        "b",
        "a",
    )


def test_a_dictionary_column_keeps_its_own_order() -> None:
    coded = pa.DictionaryArray.from_arrays(pa.array([1, 0, 1]), ["z", "a", "m"])
    assert infer(TABLE.append_column("d", coded)).features[4].categories == ("z", "a", "m")


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        ([0, 1, 1], "binary", ("0", "1")),
        ([True, False, True], "binary", ("false", "true")),
        (["a", "b", "c"], "multiclass", ("a", "b", "c")),
        ([0.5, 1.5, 2.5], "regression", ()),
    ],
)
def test_task_and_classes_from_the_target(values: list[Any], task: str, classes: tuple[str, ...]) -> None:
    spec = infer(TABLE.drop_columns(["y"]).append_column("y", [values]), Facts("p"))
    assert (spec.task, spec.classes) == (task, classes)


def test_wishes_replace_what_was_inferred() -> None:
    spec = infer(
        threshold=0.3,
        classes=("no", "yes"),
        segments=("c",),
        window=300,
        positive=0,
        score="q",
        nullable=("k",),
        description="A model.",
    )
    assert (spec.threshold, spec.classes, spec.segments, spec.window) == (0.3, ("no", "yes"), ("c",), 300)
    assert (spec.output.positive, spec.output.score, spec.description) == (0, "q", "A model.")
    assert spec.features[1].nullable


@pytest.mark.parametrize(
    ("wished", "problem"),
    [
        ({"name": None}, "without a model.toml, --name and --version are needed"),
        ({"name": "Not a name"}, "$.name"),
        ({"target": "z"}, "--target 'z' is no column of the data (columns: x, k, b, c, y)"),
        ({"time_column": "when"}, "--time-column 'when' is no column of the data"),
        ({"features": ("x", "q")}, "feature q is no column of the data"),
        ({"segments": ("q",)}, "segments names 'q', which is no feature"),
        ({"classes": ("a", "b", "c")}, "classes has 3 entries, a binary task takes two"),
        ({"threshold": 2.0}, "$.threshold"),
    ],
)
def test_a_wish_that_cannot_be_is_named(wished: dict[str, Any], problem: str) -> None:
    assert problem in refusal(**wished)


def test_a_column_of_times_is_no_feature() -> None:
    table = TABLE.append_column("at", pa.array([datetime(2013, 1, 1)] * 3))
    assert refusal(table).startswith("column at is of type timestamp[us], which is no number")
    assert infer(table, time_column="at").features == infer().features


def test_an_identifier_is_no_category() -> None:
    table = pa.table({"tail": [f"N{i}" for i in range(1001)], "y": [0, 1] * 500 + [0]})
    assert refusal(table).startswith("column tail has 1001 distinct strings, more than 1000")


def test_no_task_anywhere() -> None:
    assert refusal(facts=Facts("p"), target=None).startswith("the model does not say its task")


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet", "arrow", "feather"])
def test_a_table_reads_the_same_from_every_format(tmp_path: Path, suffix: str) -> None:

    table = pa.table({"x": [1.5, None], "c": [None, "Zürich"], "b": [True, False], "k": [1, 2]})
    path = tmp_path / f"data.{suffix}"
    if suffix == "parquet":
        parquet.write_table(table, path)
    elif suffix.startswith("csv"):
        with pa.output_stream(path, compression="gzip" if suffix.endswith("gz") else None) as stream:
            csv.write_csv(table, stream)
    else:
        feather.write_feather(table, path)
    assert read_table(path).to_pylist() == table.to_pylist()


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("data.xlsx", b"", "data.xlsx: data is read from .csv, .csv.gz, .parquet, .arrow or .feather files"),
        ("data.parquet", b"no parquet", "data.parquet cannot be read: "),
        ("data.csv", b"a,b\n1\n", "data.csv cannot be read: "),
    ],
)
def test_unreadable_data_is_named(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BundleError) as caught:
        read_table(tmp_path / name)
    assert problem in str(caught.value)


def test_rows_are_spread_from_the_first_to_the_last() -> None:
    table = pa.table({"x": list(range(101))})
    assert [row["x"] for row in sample_rows(table, [FeatureSpec(name="x")], 5)] == [0, 25, 50, 75, 100]
    assert len(sample_rows(table, [FeatureSpec(name="x")], 1000)) == 101


def test_rare_rows_are_always_among_them() -> None:
    size = 1000
    numbers = [float(i) for i in range(size)]
    numbers[123] = float("nan")
    kinds = ["a"] * size
    kinds[456], kinds[789] = "rare", None  # type: ignore[call-overload]
    table = pa.table({"x": numbers, "c": kinds})
    features = [FeatureSpec(name="x"), FeatureSpec(name="c", kind="categorical", encoding="string")]
    rows = sample_rows(table, features, 3)
    assert [row["x"] for row in rows] == [0, None, 456, 499, 789, 999]
    assert [row["c"] for row in rows] == ["a", "a", "rare", "a", None, "a"]


def test_rows_of_a_table_without_the_feature_are_refused() -> None:
    with pytest.raises(BundleError, match=r"no column for feature q, r \(columns: x\)"):
        sample_rows(pa.table({"x": [1]}), [FeatureSpec(name=n) for n in "xqr"], 5)


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(BundleError, match="the data has no rows"):
        sample_rows(pa.table({"x": pa.array([], pa.float64())}), [FeatureSpec(name="x")], 5)


def test_a_row_that_breaks_the_contract_is_named() -> None:
    spec = infer(ranges=0.0)
    rows = sample_rows(TABLE, spec.features, 3)
    assert as_columns(spec, rows)[0] == [1.0, None, 3.0]
    rows[1]["k"], rows[2]["k"] = 6, 7
    with pytest.raises(BundleError) as caught:
        as_columns(spec, rows)
    assert str(caught.value) == (
        "2 of 3 rows break model.toml; the first is checked row 1: "
        "features.k is 6, above the declared maximum 5"
    )
