"""What every service says of itself, every few seconds."""

from __future__ import annotations

import msgspec

from shared.messages.common import Message


class ServiceReport(Message, frozen=True, kw_only=True, tag_field="kind", tag="service"):
    """One running process of a service lives, and how it fares; the last one of an instance counts.

    Counts are since the process began (``started_at``): a smaller one means it was restarted.

    Attributes
    ----------
    service
        Name of the service.
    instance
        Host and process, the same as long as the process lives.
    version
        Version of Driftline.
    interval
        Milliseconds until the next report: three missed ones mean that the process is gone.
    stopping
        Set on the last report of a process that was asked to stop: it is not missed afterwards.
    not_ready
        Why it is not ready, by name of the check; empty when it is.
    lag
        Records not yet read, by topic: the largest over its partitions.
    partitions
        Partitions it owns now.
    consumed
        Records read, by topic.
    dead_letters
        Records refused, by error class.
    prediction_failures
        Records on which the model itself failed.
    model_load_failures
        Attempts to load a model version that failed.
    model_trouble
        Why a model is not at the version the registry wants, by model.
    not_loaded
        Of the inference service: why a version that it is to answer with cannot be loaded, by model and
        version.
    registry_up
        Whether the model registry answers; absent where the service asks none.
    """

    service: str
    instance: str
    version: str
    started_at: int
    written_at: int
    interval: int
    stopping: bool = False
    not_ready: dict[str, str] = msgspec.field(default_factory=dict)
    lag: dict[str, int] = msgspec.field(default_factory=dict)
    partitions: int = 0
    consumed: dict[str, int] = msgspec.field(default_factory=dict)
    dead_letters: dict[str, int] = msgspec.field(default_factory=dict)
    prediction_failures: int = 0
    model_load_failures: int = 0
    model_trouble: dict[str, str] = msgspec.field(default_factory=dict)
    not_loaded: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    registry_up: bool | None = None
