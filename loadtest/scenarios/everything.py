"""All scenarios one after the other on one broker."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from loadtest.report import Report
from loadtest.scenarios import backlog, client_floor, drift, inference, latency, performance, scaling, shadow

Scenario = Callable[[str], Coroutine[Any, Any, Report]]


def scenarios(*, quick: bool) -> dict[str, Scenario]:
    """Return every scenario by name, in full or so short that it shows no more than that it works."""
    floor = client_floor.ClientFloorOptions()
    cpu = inference.InferenceOptions()
    watching = drift.DriftOptions()
    delay = latency.LatencyOptions()
    flood = backlog.BacklogOptions()
    beside = shadow.ShadowOptions()
    joining = performance.PerformanceOptions()
    growth = scaling.ScalingOptions()
    if quick:
        floor = client_floor.ClientFloorOptions(events=30_000, rounds=1)
        cpu = inference.InferenceOptions(events=30_000, rounds=1)
        watching = drift.DriftOptions(events=20_000, rounds=1)
        delay = latency.LatencyOptions(seconds=5.0, ramp_seconds=2.0)
        flood = backlog.BacklogOptions(events=100_000, slice_seconds=1.0)
        joining = performance.QUICK
        beside = shadow.ShadowOptions(events=30_000, rounds=1, seconds=5.0, ramp_seconds=2.0)
        growth = scaling.QUICK
    return {
        "client-floor": lambda broker: client_floor.run(broker, floor),
        "inference": lambda broker: inference.run(broker, cpu),
        "drift": lambda broker: drift.run(broker, watching),
        "latency": lambda broker: latency.run(broker, delay),
        "shadow": lambda broker: shadow.run(broker, beside),
        "performance": lambda broker: performance.run(broker, joining),
        "scaling": lambda broker: scaling.run(broker, growth),
        "backlog": lambda broker: backlog.run(broker, flood),
    }
