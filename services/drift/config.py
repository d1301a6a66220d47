"""Settings of the drift service."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from shared.settings import CommaSeparated, PipelineSettings


class DriftSettings(PipelineSettings):
    """Watch events and predictions for drift under a false-alarm budget, exactly once."""

    service: ClassVar[str] = "drift"

    models: CommaSeparated = Field(
        (), description="Models to watch; none named watches every model that has a champion"
    )
    model_bundles: CommaSeparated = Field(
        (), description="Bundle directories to watch without a registry, each the champion of its model"
    )
    max_batch_events: int = Field(8_000, ge=1, le=100_000, description="Events per micro-batch, about")
    commit_seconds: float = Field(
        default=0.2, gt=0, le=60, description="How long events and counts gather between two commits"
    )
    report_seconds: float = Field(
        5.0, gt=0, description="Seconds between two reports of a window that is still open"
    )
    idle_seconds: float = Field(
        default=10.0,
        ge=0.1,
        le=3_600,
        description="How long a producer may take to deliver a record: "
        "a partition that has been empty for so long holds up the others no more",
    )
    learn_events: int = Field(
        5_000,
        ge=600,
        le=100_000,
        description="Events to learn a baseline from where the bundle brings none",
    )
    max_future_seconds: int = Field(
        86_400, ge=0, description="How far occurred_at may lie after the record's own timestamp"
    )

    @property
    def merge_group(self) -> str:
        """Consumer group of the second stage, which merges what the first one counts."""
        return f"{self.group}-merge"
