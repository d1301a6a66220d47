"""The gauge of models that are not at the version the registry wants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.bounded import MOST_SERIES


class ModelTrouble(Collector):
    """Shows 1 for every model in trouble, for as long as it lasts; a counter of failures cannot.

    Parameters
    ----------
    registry
        Where to register.
    trouble
        Returns why a model is not at the version the registry wants, by model.

    Examples
    --------
    >>> registry = CollectorRegistry()
    >>> _ = ModelTrouble(registry, lambda: {"flights": "version 2: model.onnx is damaged"})
    >>> registry.get_sample_value("driftline_model_trouble", {"model": "flights"})
    1.0
    """

    def __init__(self, registry: CollectorRegistry, trouble: Callable[[], Mapping[str, str]]) -> None:
        self._trouble = trouble
        registry.register(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the family without samples."""
        return (self._family(),)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the family."""
        family = self._family()
        for model in islice(self._trouble(), MOST_SERIES):
            family.add_metric([model], 1.0)
        yield family

    @staticmethod
    def _family() -> GaugeMetricFamily:
        return GaugeMetricFamily(
            "driftline_model_trouble",
            "1 for a model that is not at the version the registry wants",
            labels=["model"],
        )
