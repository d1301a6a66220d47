"""Dead letters: the original record, untouched, with why it was refused in its headers."""

from __future__ import annotations

from typing import Final

import msgspec

from shared.errors import ServiceError
from shared.kafka.records import Headers

ERROR: Final = "driftline-error"
MESSAGE: Final = "driftline-message"
FIELD: Final = "driftline-field"
SERVICE: Final = "driftline-service"
SOURCE_TOPIC: Final = "driftline-source-topic"
SOURCE_PARTITION: Final = "driftline-source-partition"
SOURCE_OFFSET: Final = "driftline-source-offset"
FAILED_AT: Final = "driftline-failed-at"
REPLAY_OF: Final = "driftline-replay-of"
"""On a replayed event: ``topic/partition/offset`` of the dead letter it came from."""

HEADERS: Final = (ERROR, MESSAGE, FIELD, SERVICE, SOURCE_TOPIC, SOURCE_PARTITION, SOURCE_OFFSET, FAILED_AT)
"""Every header that Driftline adds to a dead letter, in the order it adds them."""

_LONGEST_MESSAGE = 1_000


class DeadLetter(msgspec.Struct, frozen=True):
    """Why a record was refused and where it came from, read back from the headers."""

    error: str
    message: str
    field: str | None
    service: str
    topic: str
    partition: int
    offset: int
    failed_at: int


def dead_letter_headers(
    original: Headers, error: ServiceError, *, service: str, topic: str, partition: int, offset: int, now: int
) -> list[tuple[str, bytes | None]]:
    """Return the original headers followed by what went wrong.

    A record that fails a second time carries only the newest reason.

    Examples
    --------
    >>> from shared.errors import ValidationError
    >>> bad = ValidationError("hour is 77, above the declared maximum 23", field="features.hour")
    >>> headers = dead_letter_headers([("traceparent", b"00-1")], bad, service="inference",
    ...                               topic="events", partition=3, offset=9, now=5)
    >>> headers[0], headers[3]
    (('traceparent', b'00-1'), ('driftline-field', b'features.hour'))
    >>> read_dead_letter(headers).offset
    9
    """
    kept = [(name, value) for name, value in original if name not in HEADERS]
    reason = {
        ERROR: error.reason,
        MESSAGE: error.message[:_LONGEST_MESSAGE],
        FIELD: error.field or "",
        SERVICE: service,
        SOURCE_TOPIC: topic,
        SOURCE_PARTITION: str(partition),
        SOURCE_OFFSET: str(offset),
        FAILED_AT: str(now),
    }
    return [*kept, *((name, text.encode("utf-8", "replace")) for name, text in reason.items())]


def read_dead_letter(headers: Headers) -> DeadLetter | None:
    """Return what the headers of a dead letter say, ``None`` where they are not Driftline's."""
    texts = {name: (value or b"").decode("utf-8", "replace") for name, value in headers if name in HEADERS}
    try:
        return DeadLetter(
            error=texts[ERROR],
            message=texts[MESSAGE],
            field=texts.get(FIELD) or None,
            service=texts[SERVICE],
            topic=texts[SOURCE_TOPIC],
            partition=int(texts[SOURCE_PARTITION]),
            offset=int(texts[SOURCE_OFFSET]),
            failed_at=int(texts[FAILED_AT]),
        )
    except (KeyError, ValueError):
        return None
