from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from shared.bundle.times import read_times
from shared.errors import BundleError

NOON = 1_357_041_600.0  # 2013-01-01 12:00 UTC


@pytest.mark.parametrize(
    "column",
    [
        [NOON, NOON + 1.5],
        [int(NOON * 1000), int(NOON * 1000) + 1500],
        ["2013-01-01T12:00:00Z", "2013-01-01T13:00:01.5+01:00"],
        ["2013-01-01 12:00:00", "2013-01-01 12:00:01.5"],
        [datetime(2013, 1, 1, 12, tzinfo=UTC), datetime(2013, 1, 1, 12, 0, 1, 500_000, tzinfo=UTC)],
        pa.array([int(NOON * 1000), int(NOON * 1000) + 1500], pa.timestamp("ms")),
        pa.array(["2013-01-01T12:00:00Z", "2013-01-01T12:00:01.5Z"]).dictionary_encode(),
    ],
)
def test_every_usual_form_of_a_time_is_seconds(column: Any) -> None:
    assert read_times(pa.table({"when": column}), "when").tolist() == [NOON, NOON + 1.5]


def test_dates_are_midnight() -> None:
    column = [date(2013, 1, 1), date(2013, 1, 2)]
    assert read_times(pa.table({"when": column}), "when").tolist() == [NOON - 43_200, NOON + 43_200]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([NOON, None], "1 of 2 rows have no usable time in when"),
        (["2013-01-01", "yesterday"], "1 of 2 rows have no usable time in when"),
        ([float("nan"), float("inf")], "2 of 2 rows have no usable time in when"),
        (pa.array([None, None], pa.float64()), "2 of 2 rows have no usable time"),
        ([NOON, NOON], "every row has the same time in when: that orders nothing"),
        ([True, False], "the time column when is of type bool, which is no time"),
        (pa.array([None, None]), "is of type null, which is no time"),
    ],
)
def test_a_column_without_usable_times_is_refused_with_the_reason(column: Any, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        read_times(pa.table({"when": column}), "when")


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(BundleError, match=r"--time-column 'at' is no column of the data \(columns: when\)"):
        read_times(pa.table({"when": [1, 2]}), "at")
