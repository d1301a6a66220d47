"""Looks at a service from outside, as an operator does: its process, its health, its metrics."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from devstack.demo.services import Service

State = Literal["starting", "ready", "not ready", "ended"]
Samples = dict[str, float]
"""Sum over all labels, by sample name."""

CONSUMED = "driftline_records_consumed_total"
LAG = "driftline_lag_records"
DEAD_LETTERS = "driftline_dead_letters_total"
LATENCY = "driftline_scoring_latency_seconds"
PARTITIONS = "driftline_partitions_assigned"
MODEL_INFO = "driftline_model_info"

RECENT_LOOKS = 10
"""Percentiles cover so many looks, that is about as many seconds."""

Buckets = dict[float, float]
"""Cumulative count by upper bound."""

REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=2.0)


@dataclass(slots=True)
class Sight:
    """What was last seen of a service.

    Attributes
    ----------
    state
        ``starting`` until it was ready once.
    per_second
        Records consumed per second since the look before.
    lag
        Records not yet consumed.
    p50_ms, p99_ms
        The service's own latency over the last looks; NaN while nothing came.
    dead_letters
        Since it started.
    champion
        The version that answers.
    partitions
        Input partitions that it owns.
    """

    state: State = "starting"
    per_second: float = 0.0
    lag: int = 0
    p50_ms: float = float("nan")
    p99_ms: float = float("nan")
    dead_letters: int = 0
    champion: str = ""
    partitions: int = 0
    samples: Samples = field(default_factory=dict)
    seen_at: float = 0.0
    buckets: deque[Buckets] = field(default_factory=lambda: deque(maxlen=RECENT_LOOKS + 1))


class Lookout:
    """Keeps one :class:`Sight` per service up to date."""

    def __init__(self, services: list[Service], clock: Callable[[], float]) -> None:
        self.sights = {service.name: Sight() for service in services}
        self._services = services
        self._clock = clock

    async def look(self, http: aiohttp.ClientSession) -> None:
        """Look at every service once, all at the same time."""
        await asyncio.gather(*(self._look_at(service, http) for service in self._services))

    async def _look_at(self, service: Service, http: aiohttp.ClientSession) -> None:
        sight = self.sights[service.name]
        if not service.part.running:
            sight.state = "ended"
            return
        try:
            async with http.get(f"{service.url}/readyz", timeout=REQUEST_TIMEOUT) as answer:
                ready = answer.status == 200
            async with http.get(f"{service.url}/metrics", timeout=REQUEST_TIMEOUT) as answer:
                exposition = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError):
            ready, exposition = False, ""
        sight.state = "ready" if ready else "starting" if sight.state == "starting" else "not ready"
        if exposition:
            read_metrics(sight, exposition, self._clock())


def read_metrics(sight: Sight, exposition: str, now: float) -> None:
    """Update a sight from the text of ``/metrics``."""
    samples: Samples = defaultdict(float)
    buckets: Buckets = defaultdict(float)
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            samples[sample.name] += sample.value
            if sample.name == LATENCY + "_bucket":
                buckets[float(sample.labels["le"])] += sample.value
            if sample.name == MODEL_INFO and sample.value:
                sight.champion = sample.labels["version"]
    if sight.samples and now > sight.seen_at:
        new = samples[CONSUMED] - sight.samples.get(CONSUMED, 0.0)
        sight.per_second = max(0.0, new) / (now - sight.seen_at)
    sight.samples, sight.seen_at = dict(samples), now
    sight.lag = int(samples[LAG])
    sight.partitions = int(samples[PARTITIONS])
    sight.dead_letters = int(samples[DEAD_LETTERS])
    sight.buckets.append(dict(buckets))
    oldest = sight.buckets[0] if len(sight.buckets) > 1 else {}
    recent = {edge: count - oldest.get(edge, 0.0) for edge, count in buckets.items()}
    sight.p50_ms, sight.p99_ms = (1000 * quantile(recent, share) for share in (0.5, 0.99))


def quantile(buckets: Buckets, share: float) -> float:
    """Return a quantile of a cumulative histogram, linear within its bucket; NaN when it is empty.

    Examples
    --------
    >>> quantile({0.01: 50.0, 0.02: 100.0, float("inf"): 100.0}, 0.75)
    0.015
    """
    total = max(buckets.values(), default=0.0)
    low, below = 0.0, 0.0
    for edge, count in sorted(buckets.items()):
        if total and count >= share * total:
            return (
                low
                if edge == float("inf")
                else low + (edge - low) * (share * total - below) / (count - below)
            )
        low, below = edge, count
    return float("nan")
