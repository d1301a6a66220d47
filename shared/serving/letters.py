"""Refused records as something to produce."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from shared.dead_letters import dead_letter_headers
from shared.errors import ServiceError
from shared.kafka.records import Output, Records
from shared.refusals import say_refused


def dead_letters(
    topic: str,
    records: Records,
    refused: Sequence[tuple[int, ServiceError]],
    *,
    service: str,
    now: int,
    models: Mapping[int, str] = MappingProxyType({}),
) -> Output:
    """Return the dead letters of one partition's records, each with why it was refused.

    Logs the first of each reason and field, and one in ten seconds after it, with the number held back.

    Parameters
    ----------
    topic
        Of the dead letters.
    refused
        Position among ``records`` and error, in the order of the positions.
    now
        Epoch milliseconds.
    models
        By position: whose record it is, where that is known.
    """
    headers = [
        dead_letter_headers(
            records.headers[position],
            error,
            service=service,
            topic=records.topic,
            partition=records.partition,
            offset=records.offsets[position],
            now=now,
        )
        for position, error in refused
    ]
    for position, error in refused:
        say_refused(
            error,
            records.headers[position],
            topic=records.topic,
            partition=records.partition,
            offset=records.offsets[position],
            model=models.get(position),
        )
    return Output(
        topic,
        records.partition,
        [records.keys[position] for position, _ in refused],
        [records.values[position] for position, _ in refused],
        headers,
    )
