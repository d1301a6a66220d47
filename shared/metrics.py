"""Prometheus collectors by one convention, built on a registry that the caller owns.

Names: ``driftline_`` prefix, base units in the name (``_seconds``, ``_bytes``), ``_total`` on counters.
Labels are bounded: topic, partition, model, reason, outcome; never an id or a message, and names that
others choose only up to a limit (:mod:`shared.bounded`). The scoring path updates them once per
micro-batch and never per event.
"""

from __future__ import annotations

import copy
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from shared.bounded import MOST_SERIES, Counter, Gauge, within

LATENCY_BUCKETS: Final = (
    0.0005, 0.001, 0.002, 0.004, 0.007, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0,
    15.0, 30.0, 60.0, 300.0,
)  # fmt: skip
"""Seconds: from half a millisecond to the minutes that an event waits through an outage, in steps of at
most 2.5 below 60 s, with edges at the latency goals of 15 and 40 ms."""

SIZE_BUCKETS: Final = (1, 4, 16, 64, 256, 1_024, 2_048, 4_096, 8_192, 16_384, 65_536)
"""Records per micro-batch."""


class PipelineMetrics:
    """What every pipeline counts; one instance per process.

    Attributes
    ----------
    consumed, produced
        Records by topic.
    lost
        Records by topic that retention deleted before they were read.
    transactions
        Commits by ``outcome``: ``committed``, ``aborted``, ``failed``.
    dead_letters
        Refused records by ``reason``, the name of the error's class.
    batch_records, batch_seconds
        Size of a micro-batch, and the time from the start of its computation to its commit.
    lag
        Records between the last one read and the end, by topic and partition.
    partitions
        Partitions this process owns now.
    last_progress
        Unix time of the last micro-batch: alert on its age while there is lag.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.consumed = Counter(
            "driftline_records_consumed_total", "Records read", ["topic"], registry=registry
        )
        self.produced = Counter(
            "driftline_records_produced_total", "Records written", ["topic"], registry=registry
        )
        self.lost = Counter(
            "driftline_records_lost_total",
            "Records deleted before they were read",
            ["topic"],
            registry=registry,
        )
        self.transactions = Counter(
            "driftline_transactions_total", "Commits by outcome", ["outcome"], registry=registry
        )
        self.dead_letters = Counter(
            "driftline_dead_letters_total", "Records refused, by error class", ["reason"], registry=registry
        )
        self.batch_records = Histogram(
            "driftline_batch_records", "Records per micro-batch", buckets=SIZE_BUCKETS, registry=registry
        )
        self.batch_seconds = Histogram(
            "driftline_batch_seconds",
            "From the start of a micro-batch's computation to its commit",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.lag = Gauge(
            "driftline_lag_records", "Records not yet read", ["topic", "partition"], registry=registry
        )
        self.partitions = Gauge("driftline_partitions_assigned", "Partitions owned now", registry=registry)
        self.last_progress = Gauge(
            "driftline_last_progress_timestamp_seconds",
            "Unix time of the last micro-batch",
            registry=registry,
        )
        for outcome in ("committed", "aborted", "failed"):
            self.transactions.labels(outcome)  # a rate needs the zero before the first one

    def beside(self) -> PipelineMetrics:
        """Return the metrics of a second pipeline in the same process.

        They count into the same series, but for those that can be of one pipeline only: the partitions
        owned and the last progress stay those of the first.
        """
        other = copy.copy(self)
        aside = CollectorRegistry()
        other.partitions = Gauge("partitions", "Not shown", registry=aside)
        other.last_progress = Gauge("last_progress", "Not shown", registry=aside)
        return other


class BulkHistogram(Collector):
    """A Prometheus histogram that takes a whole micro-batch at once.

    ``prometheus_client.Histogram`` observes one value per call, about a microsecond each; this one
    adds bucket counts that numpy has already made.

    Parameters
    ----------
    name, documentation
        As for any collector; the name carries its unit.
    edges
        Upper bounds of the buckets, ascending; ``+Inf`` is added.
    registry
        Where to register.
    labelnames
        Names of the labels; empty for a histogram that is used directly.

    Examples
    --------
    >>> registry = CollectorRegistry()
    >>> latency = BulkHistogram("driftline_latency_seconds", "Latency", (0.01, 0.1), registry=registry)
    >>> latency.observe(np.array([0.004, 0.02, 0.03, 7.0]))
    >>> registry.get_sample_value("driftline_latency_seconds_bucket", {"le": "0.1"})
    3
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        edges: Sequence[float] = LATENCY_BUCKETS,
        *,
        registry: CollectorRegistry,
        labelnames: Sequence[str] = (),
    ) -> None:
        self.edges: npt.NDArray[np.float64] = np.asarray(edges, dtype=np.float64)
        if not (np.isfinite(self.edges).all() and (np.diff(self.edges) > 0).all()):
            raise ValueError(f"{name}: the edges must be finite and ascend")
        self._name, self._documentation, self._labelnames = name, documentation, tuple(labelnames)
        self._series: dict[tuple[str, ...], BulkSeries] = {}
        if not self._labelnames:
            self.labels()
        registry.register(self)

    def labels(self, *values: object) -> BulkSeries:
        """Return the series with these label values."""
        key = tuple(map(str, values))
        if key not in self._series:
            if len(key) != len(self._labelnames):
                raise ValueError(f"{self._name} has the labels {self._labelnames}, not {key}")
            key = within(key, self._labelnames, self._series, len(self._series), MOST_SERIES)
            if key in self._series:
                return self._series[key]
            self._series[key] = BulkSeries(self.edges)
        return self._series[key]

    def add(self, counts: npt.NDArray[Any], total: float) -> None:
        """Add bucket counts to the series without labels; see :meth:`BulkSeries.add`."""
        self._series[()].add(counts, total)

    def observe(self, values: npt.NDArray[Any]) -> None:
        """Add values to the series without labels; see :meth:`BulkSeries.observe`."""
        self._series[()].observe(values)

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Yield the family without samples, so that the registry can refuse a name used twice."""
        yield HistogramMetricFamily(self._name, self._documentation, labels=self._labelnames)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the family with one cumulative histogram per series."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labelnames)
        names = [*map(floatToGoString, self.edges.tolist()), "+Inf"]
        for key, series in list(self._series.items()):
            cumulative = np.cumsum(series.counts).tolist()
            family.add_metric(key, list(zip(names, cumulative, strict=True)), series.total)
        yield family


class BulkSeries:
    """One labelled series of a :class:`BulkHistogram`."""

    def __init__(self, edges: npt.NDArray[np.float64]) -> None:
        self._edges = edges
        self.counts: npt.NDArray[np.int64] = np.zeros(len(edges) + 1, dtype=np.int64)
        self.total = 0.0

    def add(self, counts: npt.NDArray[Any], total: float) -> None:
        """Add what was counted elsewhere.

        Parameters
        ----------
        counts
            Shape ``(len(edges) + 1,)``: how many values fell between consecutive edges.
        total
            Sum of those values.
        """
        self.counts += counts
        self.total += float(total)

    def observe(self, values: npt.NDArray[Any]) -> None:
        """Count values; one equal to an edge belongs to the bucket below it, as Prometheus has it."""
        at = np.searchsorted(self._edges, values, side="left")
        self.add(np.bincount(at, minlength=len(self.counts)), float(np.sum(values)))


def registry_up(registry: CollectorRegistry) -> Gauge:
    """Return the gauge that is 1 while the model registry answers, 0 while it is away."""
    return Gauge("driftline_registry_up", "Whether the model registry answers", registry=registry)


def describe_process(registry: CollectorRegistry, service: str) -> None:
    """Register who this process is and what it uses: build, CPU, memory, files, garbage collection."""
    build = Gauge(
        "driftline_build_info",
        "Always 1; the labels say what runs",
        ["service", "version", "python"],
        registry=registry,
    )
    build.labels(service, own_version(), platform.python_version()).set(1)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)


def own_version() -> str:
    """Return the version of Driftline that runs."""
    try:
        return version("driftline")
    except PackageNotFoundError:
        return "unknown"  # run from a checkout that is not installed
