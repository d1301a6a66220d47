"""Refused records as something to produce."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shared.dead_letters import dead_letter_headers
from shared.errors import ServiceError
from shared.kafka.records import Output, Records
from shared.logs import RateLimit, get_logger
from shared.tracing import current_trace, trace_of

log = get_logger(__name__)

SAY_EVERY: Final = 10.0
"""Seconds between two log lines of one reason: a stream of bad events must not become a stream of lines."""

_limit = RateLimit(SAY_EVERY)


def dead_letters(
    topic: str, records: Records, refused: Sequence[tuple[int, ServiceError]], *, service: str, now: int
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
        _say(records, position, error)
    return Output(
        topic,
        records.partition,
        [records.keys[position] for position, _ in refused],
        [records.values[position] for position, _ in refused],
        headers,
    )


def _say(records: Records, position: int, error: ServiceError) -> None:
    """Log a refused record under its own trace, but not what it holds: that may be personal."""
    reason = type(error).__name__
    held = _limit.admit(f"{records.topic} {reason} {error.field}")
    if held is None:
        return
    token = current_trace.set(trace_of(records.headers[position]))
    try:
        log.warning(
            "record refused",
            reason=reason,
            field=error.field,
            topic=records.topic,
            partition=records.partition,
            offset=records.offsets[position],
            held_back=held,
        )
    finally:
        current_trace.reset(token)
