"""The demo's flights through the drift service's own code: what is real, what is planted, what is said.

The baseline is that of the demo's champion, January to March. Every expectation about the data is computed
from the flights, not by the detector.
"""

from __future__ import annotations

from itertools import islice

import pandas as pd
import pyarrow as pa
import pytest

from devstack.demo.contract import MODEL, flight_spec
from devstack.demo.drift import (
    FOUND_WITHIN,
    PLANTED_FROM,
    DriftBook,
    plant_kilometres,
    story,
)
from devstack.demo.events import FEATURES, flight_events
from devstack.demo.flights import departures_from
from devstack.demo.options import FIRST_DAY
from devstack.demo.recipes import CHAMPION
from shared.bundle.baseline import feature_column, segment_features
from shared.bundle.times import read_times
from shared.drift import fit_baseline
from shared.drift.stream.offline import OfflineDrift
from shared.drift.stream.watched import Watched
from shared.kafka.records import Records
from shared.messages import DriftAlarm

FLIGHTS = 20_000


@pytest.fixture(scope="module")
def champion(year: pd.DataFrame) -> Watched:
    spec = flight_spec(CHAMPION.known(year), "test")
    rows = CHAMPION.rows(year)
    table = pa.Table.from_pandas(rows[[*FEATURES, "late", "occurred_at"]], preserve_index=False)
    columns = {feature.name: feature_column(table, feature) for feature in spec.features}
    kinds = {feature.name: feature.kind for feature in spec.features}
    times = read_times(table, "occurred_at")
    return Watched.of(spec, fit_baseline(columns, kinds, times, segment_features(spec)))


def replayed(champion: Watched, flights: pd.DataFrame, count: int = FLIGHTS) -> DriftBook:
    """What is reported of these flights, sent one after the other to one partition."""
    offline = OfflineDrift(champion, 1, "events")
    values = [event.value for event in islice(flight_events(flights, MODEL), count)]
    for low in range(0, len(values), 2_000):
        some = values[low : low + 2_000]
        offsets = list(range(low, low + len(some)))
        stamps = [1_700_000_000_000 + 10 * offset for offset in offsets]
        nothing, bare = [None] * len(some), [()] * len(some)
        end = low + len(some)
        offline.add(Records("events", 0, low, end, offsets, stamps, nothing, some, bare))
    book = DriftBook()
    for report in offline.finish():
        book.take(report)
    return book


def first_alarms(book: DriftBook) -> dict[str, DriftAlarm]:
    found: dict[str, DriftAlarm] = {}
    for channel, alarm in book.in_order:
        found.setdefault(channel.name, alarm)
    return found


def test_what_is_real_in_july_is_found_and_explained_and_nothing_else(
    champion: Watched, year: pd.DataFrame
) -> None:
    winter, july = year[year["month"] <= 3], departures_from(year, FIRST_DAY)[:FLIGHTS]
    found = first_alarms(replayed(champion, july))
    assert list(found) == ["dest", "distance", "carrier"]

    dest = found["dest"]
    new = july[:400][~july["dest"][:400].isin(set(winter["dest"]))]
    assert set(new["origin"]) == {"JFK"}
    assert set(new["dest"]) == {"ABQ", "ACK", "MVY"}
    assert dest.change == "unseen"
    assert dest.raised.events < 400
    assert str(dest.segment) == "origin=JFK"
    assert all(name in dest.explanation for name in set(new["dest"]))

    distance = found["distance"]
    since = july["distance"][distance.change_point.events : distance.raised.events]
    assert since.between(1021.5, 1087, inclusive="left").mean() / winter["distance"].between(
        1021.5, 1087, inclusive="left"
    ).mean() == pytest.approx(0.7, abs=0.07)
    assert distance.detail == "[1021.5, 1087) x0.71, most of all bins"
    assert f"instead of {winter['distance'].mean():.0f}" in distance.explanation
    assert distance.cleared is None, "the summer's schedule lasts"

    carrier = found["carrier"]
    blue = (july["carrier"][carrier.change_point.events : carrier.raised.events] == "B6").mean()
    assert blue / (winter["carrier"] == "B6").mean() == pytest.approx(1.08, abs=0.01)
    assert carrier.detail == "B6 x1.1, most of all bins"


def test_the_channels_that_follow_the_weather_for_days_are_not_calibrated(champion: Watched) -> None:
    coder = champion.coders["features"]
    assert coder is not None
    reasons = {channel.name: channel.reason for channel in coder.channels if not channel.calibrated}
    weather = {"temp", "dewp", "humid", "wind_dir", "wind_speed", "pressure"}
    assert set(reasons) == weather | {"day_of_week"}
    assert all("depend on each other" in str(reason) for reason in reasons.values())


def test_the_planted_kilometres_are_found_and_named_at_their_origin(
    champion: Watched, year: pd.DataFrame
) -> None:
    july = departures_from(year, FIRST_DAY)
    book = replayed(champion, plant_kilometres(july), 4_000)
    fault = book.planted_fault()
    assert fault is not None
    assert str(fault.segment) == "origin=LGA"
    assert abs(fault.change_point.events - PLANTED_FROM) < 200
    channel = next(channel for channel, alarm in book.in_order if alarm is fault)
    assert story(channel, fault).startswith("drift in distance at origin=LGA since 1 Jul, found 2 Jul after ")
    without = first_alarms(replayed(champion, july, PLANTED_FROM + FOUND_WITHIN))
    assert "distance" not in without, "what is found in time is the fault, not July"


def test_the_months_of_the_baseline_raise_nothing(champion: Watched, year: pd.DataFrame) -> None:
    february = year[year["month"] == 2]
    book = replayed(champion, february)
    assert book.newest is not None
    assert book.newest.budget is not None
    assert book.newest.budget.expected_false_alarms < 1
    assert book.alarms == {}
