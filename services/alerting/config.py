"""Settings of the alerting service."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from shared.settings import ServiceSettings


class AlertingSettings(ServiceSettings):
    """Apply rules to reports, keep the state of alerts, and deliver notifications."""

    service: ClassVar[str] = "alerting"

    alert_rules: Path | None = Field(
        default=None,
        description="YAML file with rules and receivers; without it the built-in rules hold and nobody is "
        "told",
    )
    public_url: str = Field(
        default="",
        pattern=r"^(https?://.+)?$",
        description="Where people reach this service (https://driftline.example): alerts link its runbooks",
    )
    session_seconds: float = Field(
        default=10.0, ge=6, le=300, description="Silence after which another alerting process takes over"
    )
