"""Settings of the services that read Kafka through a pipeline."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.settings.service import ServiceSettings


class PipelineSettings(ServiceSettings):
    """What a service needs to know to read in micro-batches and to commit them."""

    delivery: Literal["exactly-once", "at-least-once"] = Field(
        "exactly-once", description="The guarantee to hold; the service refuses to start without it"
    )
    max_batch_events: int = Field(4_000, ge=1, le=100_000, description="Events per micro-batch, about")
    session_seconds: float = Field(
        default=30.0, ge=6, le=300, description="Silence after which the group gives our partitions to others"
    )
