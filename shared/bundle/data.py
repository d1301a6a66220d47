"""Training data as a table, and rows of it as the events that production would send."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from shared.bundle.extras import need
from shared.bundle.spec import FeatureSpec, ModelSpec
from shared.errors import BundleError, ServiceError
from shared.scoring.events import DecodedEvents, EventDecoder
from shared.scoring.matrix import Column

Row = dict[str, Any]
"""Value by feature name, as it would stand in an event's ``features``."""

NULL_WORDS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")
"""Unquoted CSV cells that mean a missing value, in string columns too."""

_MAX_RARE = 1000


def read_table(path: Path) -> Any:
    """Return the ``pyarrow.Table`` in a CSV, Parquet, Arrow or Feather file.

    Raises
    ------
    BundleError
        The suffix is unknown, or the file cannot be read as what its suffix says.
    """
    pyarrow = need("pyarrow", "package")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    try:
        if ".csv" in suffixes[-2:]:
            return _read_csv(path)
        if suffixes[-1:] in ([".parquet"], [".pq"]):
            return need("pyarrow.parquet", "package").read_table(path)
        if suffixes[-1:] in ([".arrow"], [".feather"], [".ipc"]):
            return need("pyarrow.feather", "package").read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    raise BundleError(f"{path.name}: data is read from .csv, .csv.gz, .parquet, .arrow or .feather files")


def _read_csv(path: Path) -> Any:
    csv = need("pyarrow.csv", "package")
    options = csv.ConvertOptions(
        null_values=list(NULL_WORDS), strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    return csv.read_csv(path, convert_options=options)


def sample_rows(table: Any, features: Sequence[FeatureSpec], limit: int) -> list[Row]:
    """Return ``limit`` rows spread evenly from the table's first to its last, and the rare ones.

    The first row of each category, and the first in which a feature is missing, are always among
    them: a category that is coded wrongly may be in few rows.

    Raises
    ------
    BundleError
        The table is empty, or lacks the column of a feature.
    """
    missing = [feature.name for feature in features if feature.name not in table.column_names]
    if missing:
        raise BundleError(
            f"the data has no column for feature {', '.join(missing)} "
            f"(columns: {', '.join(table.column_names)})"
        )
    if table.num_rows == 0:
        raise BundleError("the data has no rows")
    count = min(limit, table.num_rows)
    spread = np.linspace(0, table.num_rows - 1, count).astype(np.int64)
    rare = [_rare(table.column(feature.name), feature) for feature in features]
    return as_feature_rows(table.take(np.unique(np.concatenate([spread, *rare]))), features)


def as_feature_rows(table: Any, features: Sequence[FeatureSpec]) -> list[Row]:
    """Return every row of a table that has all the columns, as events would carry it."""
    columns = [[_value(v, feature) for v in table.column(feature.name).to_pylist()] for feature in features]
    names = [feature.name for feature in features]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _rare(column: Any, feature: FeatureSpec) -> npt.NDArray[np.int64]:
    """Return the positions of a column's first missing value and of the first of each category."""
    compute = need("pyarrow.compute", "package")
    first = compute.index(compute.is_null(column, nan_is_null=True), True).as_py()
    found = np.array([first] if first >= 0 else [], dtype=np.int64)
    if feature.kind != "categorical":
        return found
    coded = column.unify_dictionaries().combine_chunks()
    if not need("pyarrow.types", "package").is_dictionary(coded.type):
        coded = coded.dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.concatenate([found, np.unique(codes, return_index=True)[1][:_MAX_RARE]])


def _value(value: Any, feature: FeatureSpec) -> Any:
    """Return a cell as JSON can carry it; a NaN is a missing value."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if feature.kind == "categorical":
        return str(value)
    if feature.kind == "boolean":
        return bool(value) if value in (0, 1) else value
    return value if isinstance(value, bool | int | float | str) else float(value)


def as_columns(spec: ModelSpec, rows: Sequence[Row]) -> list[Column]:
    """Return rows as the scorer's columns, by the very decoder that production events go through.

    Raises
    ------
    BundleError
        A row breaks the contract; the message gives its position and names the field.
    """
    decoded = decode_rows(spec, rows)
    if decoded.rejected:
        position, problem = decoded.rejected[0]
        raise BundleError(_rejected(position, problem, len(decoded.rejected), len(rows))) from problem
    return list(decoded.features)


def decode_rows(spec: ModelSpec, rows: Sequence[Row]) -> DecodedEvents:
    """Return rows decoded as events, and which of them the contract refuses.

    Raises
    ------
    BundleError
        A row holds a value that JSON cannot carry.
    """
    encode = msgspec.json.encode
    events = [{"event_id": str(i), "occurred_at": 0, "features": row} for i, row in enumerate(rows)]
    try:
        return EventDecoder(spec).decode([encode(event) for event in events])
    except TypeError as error:
        raise BundleError(f"the data holds a value that JSON cannot carry: {error}") from error


def _rejected(position: int, problem: ServiceError, count: int, total: int) -> str:
    return f"{count} of {total} rows break model.toml; the first is checked row {position}: {problem}"
