"""Bad events as producers really send them, one in every few hundred, so that dead letters show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from devstack.demo.events import Outgoing

EVERY = 400
"""One bad event after every 400 good ones."""


def _cut_off(event: dict[str, Any]) -> bytes:
    return msgspec.json.encode(event)[:-40]


def _broken_sensor(event: dict[str, Any]) -> bytes:
    # Not invented: Newark's weather report of 12 February 2013, 03:00, has this very reading.
    return msgspec.json.encode(event | {"features": event["features"] | {"wind_speed": 1048.36058}})


def _renamed_field(event: dict[str, Any]) -> bytes:
    features = dict(event["features"])
    features["departure_delay"] = features.pop("dep_delay")
    return msgspec.json.encode(event | {"features": features})


def _text_for_number(event: dict[str, Any]) -> bytes:
    return msgspec.json.encode(event | {"features": event["features"] | {"distance": "1,400 mi"}})


def _unknown_origin(event: dict[str, Any]) -> bytes:
    return msgspec.json.encode(event | {"features": event["features"] | {"origin": "PHL"}})


def _no_identity(event: dict[str, Any]) -> bytes:
    return msgspec.json.encode({name: value for name, value in event.items() if name != "event_id"})


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], bytes], str]] = {
    "JSON cut off": (_cut_off, "JSON"),
    "wind of 1048 mph": (_broken_sensor, "wind_speed"),
    "feature renamed": (_renamed_field, "departure_delay"),
    "text for a number": (_text_for_number, "distance"),
    "unknown origin": (_unknown_origin, "origin"),
    "no event_id": (_no_identity, "event_id"),
}
"""Fault by name: what spoils an event, and the word that the dead letter's reason must contain."""


def with_faults(events: Iterable[Outgoing], every: int = EVERY) -> Iterator[Outgoing]:
    """Yield the events, and after every ``every``-th a spoilt copy of it, the faults taking turns.

    The copy has an ``event_id`` of its own (``...-bad``), so no good event is ever in doubt.
    """
    names = list(FAULTS)
    for count, event in enumerate(events, start=1):
        yield event
        if every and count % every == 0:
            fault = names[(count // every - 1) % len(names)]
            yield spoil(event, fault)


def spoil(event: Outgoing, fault: str) -> Outgoing:
    """Return a copy of a good event with one fault of ``FAULTS`` in it."""
    document = msgspec.json.decode(event.value)
    document["event_id"] += "-bad"
    return Outgoing(event.key, FAULTS[fault][0](document), None, fault)
