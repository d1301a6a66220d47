"""Settings of the shadow service."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from shared.settings import CommaSeparated, PipelineSettings


class ShadowSettings(PipelineSettings):
    """Score events with the candidates too, and compare them with the champion, event by event."""

    service: ClassVar[str] = "shadow"

    models: CommaSeparated = Field(
        (), description="Models to follow; none named follows every model in the registry"
    )
    sample_percent: float = Field(
        100.0,
        gt=0,
        le=100,
        description="Percent of the keys whose events the candidates are asked about",
    )
    candidate_seconds: float = Field(
        5.0,
        gt=0,
        le=300,
        description="Time a candidate has for up to 4,000 events before its process is ended",
    )
    join_window_events: int = Field(
        10_000,
        ge=100,
        le=20_000,
        description="How far, in events of a partition, candidate and champion may be apart: the other waits",
    )
    threads: int = Field(1, ge=1, le=64, description="Threads of one ONNX Runtime call")
    max_event_bytes: int = Field(1 << 20, ge=100, description="Larger events are counted as refused")
    max_batch_events: int = Field(8_000, ge=1, le=100_000, description="Events per micro-batch, about")
    commit_seconds: float = Field(
        default=0.2,
        gt=0,
        le=60,
        description="How long events gather between two commits: nobody waits for a candidate's answer",
    )
    report_seconds: float = Field(
        5.0, gt=0, description="Seconds between two reports of a window that is still open"
    )
    max_future_seconds: int = Field(
        86_400, ge=0, description="How far occurred_at may lie after the record's own timestamp"
    )
    judge_seconds: float = Field(
        2.0,
        ge=0,
        le=3600,
        description="Seconds between two looks at the gates of a promotion; 0 leaves them to other replicas",
    )
