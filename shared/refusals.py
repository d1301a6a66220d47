"""A refused record in the log: why and where, not what it holds, which may be personal."""

from __future__ import annotations

from typing import Any, Final

from shared.errors import ServiceError
from shared.kafka.records import Headers, Records
from shared.logs import RateLimit, get_logger
from shared.tracing import trace_of, within

log = get_logger(__name__)

SAY_EVERY: Final = 10.0
"""Seconds between two log lines of one reason: a stream of bad events must not become a stream of lines."""

_limit = RateLimit(SAY_EVERY)


def say_refused(
    error: ServiceError,
    headers: Headers,
    *,
    topic: str,
    partition: int,
    offset: int,
    model: str | None = None,
) -> None:
    """Log a refused record, which becomes a dead letter, under its own trace.

    The first of each topic, reason and field, and one in ten seconds after it, with the number held back.

    Parameters
    ----------
    model
        Whose it is, where that is known.
    """
    reason = type(error).__name__
    place = {"topic": topic, "partition": partition, "offset": offset}
    about = {"reason": reason, "field": error.field} | ({} if model is None else {"model": model})
    _say("record refused", f"{topic} {reason} {error.field}", headers, about | place)


def say_not_counted(reason: str, records: Records, position: int, *, model: str | None = None) -> None:
    """Log a record that a service passes over because another one writes its dead letter, as seldom."""
    place = {"topic": records.topic, "partition": records.partition, "offset": records.offsets[position]}
    about = {"reason": reason} | ({} if model is None else {"model": model})
    _say("record not counted", f"{records.topic} {reason} {model}", records.headers[position], about | place)


def _say(event: str, kind: str, headers: Headers, fields: dict[str, Any]) -> None:
    held = _limit.admit(f"{event} {kind}")
    if held is not None:
        with within(trace_of(headers)):
            log.warning(event, **fields, held_back=held)
