"""A refused record in the log: why and where, not what it holds, which may be personal."""

from __future__ import annotations

from typing import Final

from shared.errors import ServiceError
from shared.kafka.records import Headers
from shared.logs import RateLimit, get_logger
from shared.tracing import current_trace, trace_of

log = get_logger(__name__)

SAY_EVERY: Final = 10.0
"""Seconds between two log lines of one reason: a stream of bad events must not become a stream of lines."""

_limit = RateLimit(SAY_EVERY)


def say_refused(error: ServiceError, headers: Headers, *, topic: str, partition: int, offset: int) -> None:
    """Log a refused record under its own trace.

    The first of each topic, reason and field, and one in ten seconds after it, with the number held back.
    """
    reason = type(error).__name__
    held = _limit.admit(f"{topic} {reason} {error.field}")
    if held is None:
        return
    token = current_trace.set(trace_of(headers))
    try:
        log.warning(
            "record refused",
            reason=reason,
            field=error.field,
            topic=topic,
            partition=partition,
            offset=offset,
            held_back=held,
        )
    finally:
        current_trace.reset(token)
