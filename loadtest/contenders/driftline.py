"""Driftline's inference service as it ships: validation, dead letters, metrics and reports switched on."""

from __future__ import annotations

import sys
from typing import Literal

from loadtest.contenders.contender import Contender, Job, Launch, own_path
from loadtest.models import MODELS, ModelName

Delivery = Literal["exactly-once", "at-least-once"]
DELIVERIES: tuple[Delivery, ...] = ("at-least-once", "exactly-once")


def driftline(model: ModelName, delivery: Delivery) -> Contender:
    """Return the service with one model and one guarantee."""
    return Contender(
        name=f"Driftline {delivery}, {model}",
        kind="driftline",
        launch=lambda job: _launch(job, delivery),
        model=model,
        exactly_once=delivery == "exactly-once",
        topics=("events", "predictions", "dead-letters", "reports", "inference-state"),
    )


def driftlines() -> list[Contender]:
    """Return every combination of model and guarantee."""
    return [driftline(model, delivery) for model in MODELS for delivery in DELIVERIES]


def _launch(job: Job, delivery: Delivery) -> Launch:
    assert job.model is not None
    settings = {
        "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": job.bootstrap_servers,
        "DRIFTLINE_TOPIC_PREFIX": job.prefix,
        "DRIFTLINE_GROUP_PREFIX": job.prefix,
        "DRIFTLINE_DELIVERY": delivery,
        "DRIFTLINE_MODEL_BUNDLES": str(job.model.bundle),
        "DRIFTLINE_HTTP_PORT": str(job.port),
    }
    return Launch([sys.executable, "-m", "services.inference"], settings | own_path())
