"""Reports as services write them, for tests of whoever reads them."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from shared.messages import Histogram, InferenceReport, Report, ServiceReport, Window
from shared.reports import message_key

T0 = int(time.time() * 1000)
"""Now: what has not been reported on for a day is forgotten."""
MINUTE = 60_000
EDGES = (0.01, 0.1, 1.0, 10.0)


def inference(
    model: str = "m",
    minute: int = 0,
    *,
    predictions: int = 1_000,
    failures: int = 0,
    refused: int = 0,
    latency: tuple[int, ...] = (0, 1_000, 0, 0, 0),
    partition: int = 0,
    second: int = 5,
    version: str = "1",
) -> InferenceReport:
    """The report of one minute's window, written ``second`` seconds into it."""
    start = T0 - T0 % MINUTE + minute * MINUTE
    errors = {"ProcessError": failures, "ValidationError": refused}
    return InferenceReport(
        model=model,
        model_version=version,
        window=Window(start=start, end=start + MINUTE),
        source_topic="events",
        partition=partition,
        first_offset=minute * 10_000,
        next_offset=minute * 10_000 + predictions + failures + refused + second,
        written_at=start + second * 1000,
        predictions=predictions,
        errors={name: count for name, count in errors.items() if count},
        latency=Histogram(edges=EDGES, counts=latency),
        scores=Histogram(edges=(0.5,), counts=(0, 0)),
    )


def service(name: str = "drift", at: int = T0, *, instance: str = "box:1", **fields: Any) -> ServiceReport:
    """The report of a service, written at ``at``."""
    return ServiceReport(
        service=name,
        instance=instance,
        version="1",
        started_at=T0,
        written_at=at,
        interval=fields.pop("interval", 5_000),
        **fields,
    )


def record(report: Report | ServiceReport) -> tuple[bytes, bytes]:
    """Key and value of a report's record."""
    return message_key(report), msgspec.json.encode(report)
