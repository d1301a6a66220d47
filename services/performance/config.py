"""Settings of the performance service."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from shared.settings import CommaSeparated, PipelineSettings


class PerformanceSettings(PipelineSettings):
    """Join labels and outcomes to predictions, and say how good the versions are."""

    service: ClassVar[str] = "performance"

    model_bundles: CommaSeparated = Field(
        (), description="Bundle directories to judge labels by without a registry"
    )
    join_dir: Path | None = Field(
        None,
        description="Where open predictions are kept, a cache that is rebuilt from Kafka; by default "
        "performance in cache_dir",
    )
    report_seconds: float = Field(
        5.0,
        gt=0,
        description="Seconds between two reports of the newest windows; older ones wait 12 times that",
    )
    checkpoint_seconds: float = Field(2.0, gt=0, description="Seconds between two checkpoints of a partition")
    trim_seconds: float = Field(
        60.0, gt=0, description="Seconds between two deletions of what nobody needs of performance-log"
    )
    idle_seconds: float = Field(
        10.0,
        gt=0,
        description="Seconds without a record after which nobody waits for the event time of an input",
    )
    grace_seconds: float = Field(
        60.0,
        ge=0,
        description="Seconds by which horizons end later than event time has it: so long an input that was "
        "called idle, or whose reader died, may be behind the others. Above idle_seconds, session_seconds "
        "and the difference of clocks",
    )
    max_future_seconds: int = Field(
        86_400,
        ge=0,
        description="How far occurred_at or observed_at may lie after the record's own timestamp",
    )

    def too_short_a_grace(self) -> str | None:
        """Return what the grace does not cover, as a sentence; None where there is nothing."""
        least = {"idle_seconds": self.idle_seconds, "session_seconds": self.session_seconds}
        short = [f"{name} is {seconds:g}" for name, seconds in least.items() if self.grace_seconds <= seconds]
        if not short:
            return None
        grace = f"grace_seconds is {self.grace_seconds:g}"
        return f"{grace}, {' and '.join(short)}: labels may find their horizon over"
