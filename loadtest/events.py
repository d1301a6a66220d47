"""Events of the load test: deterministic from a seed, and cheap to make by the million."""

from __future__ import annotations

import msgspec
import numpy as np

POOL = 20_000
ENTITIES = 5_000
FIRST_OCCURRED_AT = 1_767_225_600_000
"""2026-01-01T00:00:00Z; event ``i`` occurred ``i`` milliseconds later."""


def feature_names(count: int) -> list[str]:
    """Return ``f0`` to ``f<count - 1>``.

    Examples
    --------
    >>> feature_names(3)
    ['f0', 'f1', 'f2']
    """
    return [f"f{number}" for number in range(count)]


class EventSource:
    """Makes event ``i`` of a stream, the same for the same seed.

    Feature values are standard normal and written in full (17 digits), which is what a decoder has
    to do most for. They come from a pool of 20,000 different rows, encoded once; every event has an
    id of its own.

    Parameters
    ----------
    seed
        Of the feature values and entities.
    features
        How many an event carries.
    pool
        Different rows; later events repeat them in turn.

    Examples
    --------
    >>> source = EventSource(seed=1, features=1, pool=10)
    >>> keys, values = source.records([7, 17])
    >>> values[0]
    b'{"event_id":"e000000000007","occurred_at":1767225600007,"entity_id":"u03942","features":{"f0":0.5811181041963531}}'
    >>> values[0][40:] == values[1][40:].replace(b"00017", b"00007"), keys[0]
    (True, b'u03942')
    """

    def __init__(self, seed: int, features: int = 10, pool: int = POOL) -> None:
        random = np.random.default_rng(seed)
        names = feature_names(features)
        rows = random.standard_normal((pool, features)).tolist()
        entities = [f"u{number:05d}" for number in random.integers(0, ENTITIES, pool).tolist()]
        encode = msgspec.json.encode
        self._keys = [entity.encode() for entity in entities]
        self._tails = [
            encode({"entity_id": entity, "features": dict(zip(names, row, strict=True))})[1:]
            for entity, row in zip(entities, rows, strict=True)
        ]

    def records(self, numbers: range | list[int]) -> tuple[list[bytes], list[bytes]]:
        """Return the keys and the values of the events with these numbers."""
        pool = len(self._tails)
        keys = [self._keys[number % pool] for number in numbers]
        values = [
            b'{"event_id":"e%012d","occurred_at":%d,%b'
            % (number, FIRST_OCCURRED_AT + number, self._tails[number % pool])
            for number in numbers
        ]
        return keys, values


def event_number(value: bytes) -> int:
    """Return which event a prediction (or an event echoed) is of; both begin with their ``event_id``.

    Raises
    ------
    ValueError
        The bytes do not begin like one of ours.

    Examples
    --------
    >>> event_number(b'{"event_id":"e000000000042","model":"m"}')
    42
    """
    if value[:14] != b'{"event_id":"e':
        raise ValueError(f"not a prediction of the load test: {value[:60]!r}")
    return int(value[14:26])
