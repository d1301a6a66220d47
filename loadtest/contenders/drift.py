"""Driftline's drift service as it ships: counting, merging, detecting and reporting, with a baseline."""

from __future__ import annotations

import sys

from loadtest.contenders.contender import Contender, Job, Launch, own_path
from loadtest.contenders.driftline import DELIVERIES, Delivery

TOPICS = ("events", "predictions", "reports", "drift-counts", "drift-state", "drift-merge-state")


def drift(delivery: Delivery) -> Contender:
    """Return the service with one guarantee; the model's own graph is never run."""
    return Contender(
        name=f"Driftline drift {delivery}",
        kind="driftline",
        launch=lambda job: _launch(job, delivery),
        model="logistic",
        exactly_once=delivery == "exactly-once",
        progress="merged",
        topics=TOPICS,
    )


def drifts() -> list[Contender]:
    """Return the service with either guarantee."""
    return [drift(delivery) for delivery in DELIVERIES]


def _launch(job: Job, delivery: Delivery) -> Launch:
    assert job.model is not None
    settings = {
        "DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS": job.bootstrap_servers,
        "DRIFTLINE_TOPIC_PREFIX": job.prefix,
        "DRIFTLINE_GROUP_PREFIX": job.prefix,
        "DRIFTLINE_DELIVERY": delivery,
        "DRIFTLINE_MODEL_BUNDLES": str(job.model.bundle),
        "DRIFTLINE_HTTP_PORT": str(job.port),
        "DRIFTLINE_IDLE_SECONDS": "0.1",
    }
    return Launch([sys.executable, "-m", "services.drift"], settings | own_path())
