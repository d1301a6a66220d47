"""What every service's collectors keep to, whichever services there are."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import subprocess
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase

import services
from shared.bounded import MOST_SERIES, OPEN_LABELS, OTHER
from shared.metrics import BulkHistogram, describe_process, registry_up

BOUNDED_BY_KAFKA = {"partition"}
"""Labels with as many values as this process owns partitions, which it removes with them."""


def collectors_of(module: Any) -> list[Any]:
    """The classes of a ``metrics.py`` that register collectors."""
    return [
        thing
        for name, thing in vars(module).items()
        if name.endswith("Metrics") and isinstance(thing, type) and thing.__module__ == module.__name__
    ]


SERVICES = [
    found.name
    for found in pkgutil.iter_modules(services.__path__)
    if importlib.util.find_spec(f"services.{found.name}.metrics")
]


def registry_of(service: str) -> CollectorRegistry:
    module = importlib.import_module(f"services.{service}.metrics")
    registry = CollectorRegistry()
    (made,) = collectors_of(module)
    made(registry)
    describe_process(registry, service)
    return registry


def labelled(registry: CollectorRegistry) -> list[Any]:
    found = [c for c in registry._collector_to_names if isinstance(c, MetricWrapperBase | BulkHistogram)]
    return [c for c in found if c._labelnames and not BOUNDED_BY_KAFKA & set(c._labelnames)]


@pytest.mark.parametrize("service", SERVICES)
def test_a_million_names_do_not_become_series(service: str) -> None:
    registry = registry_of(service)
    for collector in labelled(registry):
        if not set(collector._labelnames) & OPEN_LABELS:
            continue  # values that the code enumerates
        for number in range(3 * MOST_SERIES):
            collector.labels(*(f"{number}" if n in OPEN_LABELS else "x" for n in collector._labelnames))
        if isinstance(collector, BulkHistogram):
            assert len(collector._series) <= MOST_SERIES + 1
        else:
            assert len(collector._metrics) <= MOST_SERIES + 1
            assert any(OTHER in key for key in collector._metrics)


@pytest.mark.parametrize("service", SERVICES)
def test_labels_are_either_enumerated_or_bounded(service: str) -> None:
    enumerated = {
        "outcome",
        "reason",
        "service",
        "python",
        "state",
        "status",
        "severity",
        "kind",
        "stage",
        "format",
    }
    names = set(itertools.chain(*(collector._labelnames for collector in labelled(registry_of(service)))))
    assert names <= OPEN_LABELS | enumerated, "put it into OPEN_LABELS, unless the code enumerates its values"


@pytest.mark.parametrize("service", SERVICES)
def test_promtool_finds_nothing_to_say(service: str, monitoring: dict[str, str]) -> None:
    registry = registry_of(service)
    if "driftline_registry_up" not in registry._names_to_collectors:
        registry_up(registry)
    for collector in labelled(registry):
        collector.labels(*collector._labelnames)
    text = generate_latest(registry)
    check = subprocess.run(
        [monitoring["promtool"], "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (check.returncode, check.stderr.decode(), check.stdout.decode()) == (0, "", "")
