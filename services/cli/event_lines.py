"""Events as a person has them, JSON lines or ``name=value``, made into records and checked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from shared.errors import DecodeError
from shared.messages import NOT_JSON, Event, FeatureValue

_check = msgspec.json.Decoder(Event).decode


class _Identity(msgspec.Struct):
    """What the key is made of."""

    event_id: str | None = None
    entity_id: str | None = None


_identify = msgspec.json.Decoder(_Identity).decode


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to send.

    Attributes
    ----------
    place
        File and line it was read from, for messages.
    """

    place: str
    key: bytes | None
    value: bytes


def key_of(value: bytes) -> bytes | None:
    """Return the key an event belongs under: its entity, else itself; None where it names neither.

    Examples
    --------
    >>> key_of(b'{"event_id": "e1", "entity_id": "N14228"}'), key_of(b'{"event_id": "e1"}'), key_of(b"?")
    (b'N14228', b'e1', None)
    """
    try:
        identity = _identify(value)
    except NOT_JSON:  # sent as it is with --no-check: nobody can say where it belongs
        return None
    name = identity.entity_id or identity.event_id
    return None if name is None else name.encode()


def read_lines(lines: Iterable[bytes], *, check: bool, name: str) -> Iterator[Outgoing]:
    """Yield a record per line; empty lines are passed over.

    Raises
    ------
    DecodeError
        A line is no event; the message names file, line and field.

    Examples
    --------
    >>> list(read_lines([b'{"event_id": "e1"}'], check=True, name="events.jsonl"))
    Traceback (most recent call last):
    shared.errors.DecodeError: events.jsonl line 1: Object missing required field `features`
    """
    for number, line in enumerate(lines, start=1):
        value = line.strip()
        if value:
            yield outgoing(value, check=check, place=f"{name} line {number}")


def outgoing(value: bytes, *, check: bool, place: str) -> Outgoing:
    """Return the record of one event.

    Raises
    ------
    DecodeError
        The bytes are no event; the message names place and field.
    """
    if check:
        try:
            _check(value)
        except NOT_JSON as error:  # a ValidationError is one
            raise DecodeError(f"{place}: {error}") from error
    return Outgoing(place, key_of(value), value)


def build_event(
    event_id: str,
    features: dict[str, FeatureValue],
    *,
    model: str | None,
    entity_id: str | None,
    occurred_at: str | None,
) -> bytes:
    """Return one event's bytes; it happened now unless ``occurred_at`` says otherwise."""
    at: str | int = int(time.time() * 1000) if occurred_at is None else occurred_at
    if isinstance(at, str) and at.isdigit():
        at = int(at)
    event = {"event_id": event_id, "model": model, "entity_id": entity_id, "occurred_at": at}
    given = {key: value for key, value in event.items() if value is not None}
    return msgspec.json.encode(given | {"features": features})


def parse_feature(text: str) -> tuple[str, FeatureValue]:
    """Return name and value of ``name=value``: JSON where it is a JSON scalar, else the text itself.

    Examples
    --------
    >>> parse_feature("hour=17"), parse_feature("carrier=UA"), parse_feature('zip="07102"')
    (('hour', 17), ('carrier', 'UA'), ('zip', '07102'))

    Raises
    ------
    ValueError
        There is no name or no equals sign.
    """
    name, equals, raw = text.partition("=")
    if not name or not equals:
        raise ValueError(f"{text!r} is not NAME=VALUE (hour=17, carrier=UA, gate=null)")
    try:
        value = json.loads(raw)
    except ValueError:
        return name, raw
    return name, value if value is None or isinstance(value, str | int | float | bool) else raw
