import msgspec
import pandas as pd
import pytest

from devstack.demo.contract import flight_spec
from devstack.demo.events import CHUNK, flight_events
from devstack.demo.faults import FAULTS, spoil, with_faults
from devstack.demo.train import training_rows
from shared.messages import Event
from shared.scoring.events import EventDecoder


@pytest.fixture(scope="module")
def decoder(year: pd.DataFrame) -> EventDecoder:
    return EventDecoder(flight_spec(training_rows(year), "test"))


def test_events_carry_the_frame_in_its_order(year: pd.DataFrame) -> None:
    rows = year.head(CHUNK + 10)
    events = list(flight_events(rows, "flights"))
    assert [event.event_id for event in events] == rows["event_id"].tolist()
    assert [event.key.decode() for event in events] == rows["entity_id"].tolist()
    decoded = msgspec.json.decode(events[0].value, type=Event)
    assert (decoded.event_id, decoded.occurred_at) == ("2013-01-01-UA1545-EWR", 1_357_035_420_000)
    assert (decoded.model, decoded.entity_id) == ("flights", "N14228")
    assert decoded.features == {
        "dep_delay": 2.0, "distance": 1400, "hour": 5, "day_of_week": 1,
        "carrier": "UA", "origin": "EWR", "dest": "IAH",
        "temp": 39.02, "dewp": 28.04, "humid": 64.43, "wind_dir": 260.0,
        "wind_speed": 12.65858, "precip": 0.0, "pressure": 1011.9, "visib": 10.0,
    }  # fmt: skip


def test_a_missing_reading_is_null(year: pd.DataFrame) -> None:
    row = year[year["pressure"].isna()].head(1)
    (event,) = flight_events(row, "flights")
    assert msgspec.json.decode(event.value)["features"]["pressure"] is None


def test_every_flight_of_the_year_is_accepted(year: pd.DataFrame, decoder: EventDecoder) -> None:
    for month in (2, 7):  # the month of the broken sensor, and one with new destinations
        values = [event.value for event in flight_events(year[year["month"] == month], "flights")]
        decoded = decoder.decode(values)
        assert decoded.rejected == []
        assert len(decoded) == len(values)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_refused_with_a_reason_that_names_it(
    fault: str, year: pd.DataFrame, decoder: EventDecoder
) -> None:
    (event,) = flight_events(year.head(1), "flights")
    bad = spoil(event, fault)
    ((position, error),) = decoder.decode([bad.value]).rejected
    assert position == 0
    assert FAULTS[fault][1] in str(error)
    assert bad.event_id is None
    assert bad.fault == fault
    assert bad.key == event.key


def test_the_broken_sensor_is_in_the_real_data() -> None:
    from devstack.demo.flights import data_file

    weather = pd.read_csv(data_file("weather.csv"))
    assert weather["wind_speed"].max() == pytest.approx(1048.36058)


def test_faults_come_after_every_nth_event_and_take_turns(year: pd.DataFrame) -> None:
    records = list(with_faults(flight_events(year.head(70), "flights"), every=10))
    assert [index for index, record in enumerate(records) if record.fault] == [10, 21, 32, 43, 54, 65, 76]
    assert [record.fault for record in records if record.fault] == [*FAULTS, next(iter(FAULTS))]
    assert [r.event_id for r in records if r.event_id] == year.head(70)["event_id"].tolist()


def test_without_faults_the_flights_alone_are_sent(year: pd.DataFrame) -> None:
    assert len(list(with_faults(flight_events(year.head(25), "flights"), every=0))) == 25
