"""Alerts."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.messages.common import FeatureValue, Message


class Alert(Message, frozen=True, kw_only=True):
    """A rule that fired or resolved; ``alert_id`` is the same however often it is sent."""

    alert_id: str
    rule: str
    severity: Literal["info", "warning", "critical"]
    status: Literal["firing", "resolved"]
    summary: str
    subject: str
    started_at: int
    model: str | None = None
    model_version: str | None = None
    evidence: dict[str, FeatureValue] = msgspec.field(default_factory=dict)
    links: dict[str, str] = msgspec.field(default_factory=dict)
