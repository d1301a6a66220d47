"""Who answers: each new champion is swapped in when it is warm, and a canary set beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from services.inference.metrics import InferenceMetrics
from shared.bundle.read import load_bundle
from shared.logs import get_logger
from shared.registry import Pointers, RegistryReader
from shared.serving.loading import VersionLoader
from shared.serving.models import Canary, ServedModel, ServedModels

log = get_logger(__name__)


class Champions:
    """Keeps :class:`ServedModels` at what the registry says.

    A champion that cannot be loaded leaves the former one serving; a canary that cannot, leaves the
    champion all of the traffic.

    Parameters
    ----------
    names
        The models to serve; empty means every model that has a champion.
    max_event_bytes
        Larger events are refused.
    threads
        Threads of one ONNX Runtime call.
    """

    def __init__(
        self,
        registry: RegistryReader,
        served: ServedModels,
        metrics: InferenceMetrics,
        *,
        names: Sequence[str],
        max_event_bytes: int,
        threads: int,
    ) -> None:
        self._served = served
        self._names = tuple(names)
        self._metrics = metrics
        self._max_event_bytes = max_event_bytes
        self._threads = threads
        self._swapped = asyncio.Event()
        self.loader = VersionLoader(
            registry,
            names=self._names,
            wanted=_wanted,
            load=self._load,
            settle=self._settle,
            loads=metrics.model_loads,
        )

    async def wait_until_serving(self) -> None:
        """Return once every named model answers, or any where none is named."""
        while self.missing() is not None:
            self._swapped.clear()
            await self._swapped.wait()

    def missing(self) -> str | None:
        """Return which models do not answer yet, as a sentence; ``None`` when all do."""
        served, trouble = self._served.current, self.loader.trouble
        absent = [name for name in self._names if name not in served]
        if absent:
            return f"no champion loaded yet for {', '.join(absent)}" + _because(trouble, absent)
        return None if served else "no model has a champion in the registry" + _because(trouble, trouble)

    async def _load(self, path: Path) -> ServedModel:
        bundle = await asyncio.to_thread(load_bundle, path)
        return await asyncio.to_thread(
            ServedModel.load, bundle, max_event_bytes=self._max_event_bytes, threads=self._threads
        )

    def _settle(self, pointers: Pointers, loaded: Mapping[str, ServedModel]) -> Collection[str]:
        """Let answer what is loaded; return the versions that answer."""
        champion = loaded.get(pointers.champion or "")
        served = self._served.current.get(pointers.model)
        if champion is not None and champion is not served:
            self._swap(champion)
            served = champion
        self._settle_canary(pointers, loaded)
        return [] if served is None else [served.version]

    def _swap(self, fresh: ServedModel) -> None:
        former = self._served.swap(fresh)
        if former is not None:
            self._metrics.model_info.remove(former.name, former.version)
        self._metrics.model_info.labels(fresh.name, fresh.version).set(1)
        log.info(
            "model swapped in",
            model=fresh.name,
            model_version=fresh.version,
            former=former.version if former else None,
            digest=fresh.digest,
        )
        self._swapped.set()

    def _settle_canary(self, pointers: Pointers, loaded: Mapping[str, ServedModel]) -> None:
        name, wanted = pointers.model, pointers.canary
        model = None if wanted is None else loaded.get(wanted.version)
        canary = None if wanted is None or model is None else Canary(model, wanted.percent / 100)
        if canary == self._served.canaries.get(name):
            return
        self._served.set_canary(name, canary)
        log.info(
            "canary changed",
            model=name,
            model_version=canary.model.version if canary else None,
            percent=100 * canary.share if canary else 0,
        )


def _wanted(pointers: Pointers) -> list[str]:
    canary = None if pointers.canary is None else pointers.canary.version
    return [version for version in (pointers.champion, canary) if version is not None]


def _because(trouble: Mapping[str, str], names: Collection[str]) -> str:
    reasons = [trouble[name] for name in names if name in trouble]
    return f" ({'; '.join(reasons)})" if reasons else ""
