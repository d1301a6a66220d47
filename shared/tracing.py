"""W3C Trace Context over Kafka headers: read, continue, write; no tracing library needed.

References
----------
W3C Recommendation "Trace Context" (2021), section 3.2, the traceparent header.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from shared.kafka.records import Headers

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_FORMAT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_NO_TRACE: Final = "0" * 32
_NO_SPAN: Final = "0" * 16


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where one piece of work belongs in a distributed trace.

    Attributes
    ----------
    trace_id
        32 lower-case hexadecimal digits, the same in every service.
    span_id
        16 lower-case hexadecimal digits: the piece of work itself.
    sampled
        Whether the caller records this trace.
    """

    trace_id: str
    span_id: str
    sampled: bool = True

    def child(self) -> TraceContext:
        """Return a new span in the same trace."""
        return TraceContext(self.trace_id, _new_id(8), self.sampled)

    def header(self) -> tuple[str, bytes]:
        """Return the Kafka header that hands this span on as the parent.

        Examples
        --------
        >>> TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331").header()
        ('traceparent', b'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')
        """
        return TRACEPARENT, f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}".encode()


current_trace: ContextVar[TraceContext | None] = ContextVar("current_trace", default=None)
"""The span being worked on, if any: log lines carry its ids."""


@contextlib.contextmanager
def within(trace: TraceContext | None) -> Iterator[None]:
    """Do something as part of a trace, or of none: what is logged meanwhile carries its ids.

    Examples
    --------
    >>> with within(TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")):
    ...     current_trace.get().span_id
    'b7ad6b7169203331'
    """
    token = current_trace.set(trace)
    try:
        yield
    finally:
        current_trace.reset(token)


def new_trace(*, sampled: bool = True) -> TraceContext:
    """Return the first span of a new trace."""
    return TraceContext(_new_id(16), _new_id(8), sampled)


def trace_of(headers: Headers) -> TraceContext | None:
    """Return the span a record was sent from, or ``None`` where it carries no valid one.

    A malformed ``traceparent`` counts as absent, as the recommendation asks; it is no reason to
    refuse an event. Versions above 00 are read by the fields that 00 knows.

    Examples
    --------
    >>> trace_of([("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")])
    TraceContext(trace_id='0af7651916cd43dd8448eb211c80319c', span_id='b7ad6b7169203331', sampled=True)
    >>> trace_of([("traceparent", b"00-not-a-trace")]) is None
    True
    """
    for name, value in headers:
        if name.lower() == TRACEPARENT:
            return parse_traceparent(value or b"")
    return None


def traceparent(headers: Headers) -> str | None:
    """Return the span a record was sent from as a header's value, ``None`` where it carries no valid one."""
    trace = trace_of(headers)
    return None if trace is None else trace.header()[1].decode()


def parse_traceparent(value: bytes) -> TraceContext | None:
    """Return the span a ``traceparent`` value names, ``None`` where the value is not valid."""
    match = _FORMAT.fullmatch(value)
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == b"ff" or (version == b"00" and rest):
        return None
    trace, span = trace_id.decode(), span_id.decode()
    if trace == _NO_TRACE or span == _NO_SPAN:
        return None
    return TraceContext(trace, span, bool(int(flags, 16) & 1))


def _new_id(size: int) -> str:
    while not any(raw := secrets.token_bytes(size)):
        pass  # all zeros means "none"
    return raw.hex()
