"""Settings of the inference service."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from shared.settings import CommaSeparated, PipelineSettings


class InferenceSettings(PipelineSettings):
    """Score events from Kafka and write predictions, exactly once."""

    service: ClassVar[str] = "inference"

    models: CommaSeparated = Field(
        (), description="Models to serve; none named serves every model that has a champion"
    )
    model_bundles: CommaSeparated = Field(
        (), description="Bundle directories to serve without a registry, each the champion of its model"
    )
    threads: int = Field(1, ge=1, le=64, description="Threads of one ONNX Runtime call")
    max_event_bytes: int = Field(1 << 20, ge=100, description="Larger events become dead letters")
    report_seconds: float = Field(
        5.0, gt=0, description="Seconds between two reports of a window that is still open"
    )
    max_future_seconds: int = Field(
        86_400, ge=0, description="How far occurred_at may lie after the record's own timestamp"
    )
