"""What every log line of an alert says: which one, whose, in which trace, from which report."""

from __future__ import annotations

from typing import Any

import msgspec

from shared.messages import Alert, Source
from shared.tracing import TraceContext, parse_traceparent


def trace_of_alert(alert: Alert) -> TraceContext | None:
    """Return the trace of the report that an alert began with, None where it began with silence."""
    return parse_traceparent((alert.traceparent or "").encode())


def trace_headers(alert: Alert) -> list[tuple[str, bytes | None]]:
    """Return the headers of a record about an alert."""
    trace = trace_of_alert(alert)
    return [] if trace is None else [trace.header()]


def about(alert: Alert, source: Source | None = None) -> dict[str, Any]:
    """Return the fields that say what an alert is and where it comes from.

    Parameters
    ----------
    source
        The report at hand; without it the place is that of the report it began with, if any.
    """
    source = source or alert.report
    place = {} if source is None else msgspec.structs.asdict(source)
    known = {"alert_id": alert.alert_id, "model": alert.model, "model_version": alert.model_version}
    return {name: value for name, value in known.items() if value is not None} | place
