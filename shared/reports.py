"""Reports as they are written and read: the last of a key counts, then keys are merged over partitions."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from shared.kafka.records import Headers, Output
from shared.messages import (
    DecisionReport,
    DriftReport,
    InferenceReport,
    PerformanceReport,
    Report,
    ServiceReport,
    ShadowReport,
)
from shared.tracing import TraceContext

# Add each kind here and to TOPIC_MESSAGES.
AnyReport = DecisionReport | DriftReport | InferenceReport | ServiceReport | ShadowReport | PerformanceReport
"""Every kind of report there is, as the tagged union that the topic carries."""

ReportKey = tuple[str, str, str, int, str, int]
"""Kind, model, subject (the model version; of a shadow's report also the champion's; of a decision the
registry's revision), start of the window, source topic and partition.

Of a service's report: kind, service, instance, and nothing.
"""

_decode: Callable[[bytes], AnyReport] = msgspec.json.Decoder(AnyReport).decode
_encode = msgspec.json.Encoder().encode


def kind_of(report: Report | ServiceReport) -> str:
    """Return the ``kind`` that the message carries."""
    return str(type(report).__struct_config__.tag)


def key_of(report: Report | ServiceReport) -> ReportKey:
    """Return what a later report of the same thing has in common with this one."""
    if isinstance(report, ServiceReport):
        return kind_of(report), report.service, report.instance, 0, "", 0
    return (
        kind_of(report),
        report.model,
        report.subject,
        report.window.start,
        report.source_topic,
        report.partition,
    )


def message_key(report: Report | ServiceReport) -> bytes:
    """Return the key of the report's record: the same for every report that replaces this one."""
    if isinstance(report, ServiceReport):
        return f"{kind_of(report)}/{report.service}/{report.instance}".encode()
    return "/".join(map(str, key_of(report))).encode()


def trace_begun(value: bytes) -> TraceContext:
    """Return the trace that begins with a report: of many events, it belongs to none of theirs.

    What follows from the report, alerts and their notifications, goes on in it. It is made of the report's
    bytes, so that what is written twice is one trace.

    Examples
    --------
    >>> trace_begun(b"{}").header()
    ('traceparent', b'00-44136fa355b3678a1146ad16f7e8649e-94fb4fc21fe77e83-01')
    """
    digest = hashlib.sha256(value).hexdigest()
    return TraceContext(digest[:32], digest[32:48])


def report_record(report: Report | ServiceReport) -> tuple[bytes, bytes, Headers]:
    """Return key, value and headers of a report's record."""
    value = _encode(report)
    return message_key(report), value, [trace_begun(value).header()]


def reports_output(topic: str, partition: int, reports: Sequence[Report]) -> Output:
    """Return reports as something to produce, at least one of them."""
    keys, values, headers = zip(*map(report_record, reports), strict=True)
    return Output(topic, partition, keys, values, headers)


def decode_report(raw: bytes) -> AnyReport:
    """Return the report in a record's value.

    Raises
    ------
    msgspec.DecodeError
        The bytes are no report of a kind that this version knows.
    """
    return _decode(raw)


class LatestReports:
    """The newest report of every key, whatever order, repetition or restart they come in.

    A report replaces another of its key if it has counted further (``next_offset``), or as far and
    was written later: reports are cumulative, so nothing is ever added up over time. Of a service's
    reports the one written last counts.
    """

    def __init__(self) -> None:
        self._reports: dict[ReportKey, Any] = {}

    def __len__(self) -> int:
        return len(self._reports)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._reports.values())

    def take(self, report: Report | ServiceReport) -> bool:
        """Keep a report; return whether it was news."""
        key = key_of(report)
        former = self._reports.get(key)
        if former is not None and _age(former) >= _age(report):
            return False
        self._reports[key] = report
        return True

    def drop(self, report: Report | ServiceReport) -> None:
        """Forget what is known under a report's key."""
        self._reports.pop(key_of(report), None)

    def forget_before(self, start: int) -> None:
        """Drop the windows that began before ``start``, epoch milliseconds, and services silent since."""
        for key in [key for key, report in self._reports.items() if _start(report) < start]:
            del self._reports[key]


def _start(report: Report | ServiceReport) -> int:
    return report.written_at if isinstance(report, ServiceReport) else report.window.start


def _age(report: Report | ServiceReport) -> tuple[int, bool, int]:
    if isinstance(report, ServiceReport):
        return report.written_at, report.stopping, report.started_at
    return report.next_offset, report.final, report.written_at
