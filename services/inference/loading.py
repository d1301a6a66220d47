"""Follows the registry: loads each new champion beside the old one, then swaps it in."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from services.inference.metrics import InferenceMetrics
from services.inference.models import ServedModel, ServedModels
from shared.bundle.read import load_bundle
from shared.errors import ServiceError
from shared.logs import get_logger
from shared.registry import RegistryReader

log = get_logger(__name__)

_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 30.0


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How models are loaded.

    Attributes
    ----------
    names
        The models to serve; empty means every model that has a champion.
    max_event_bytes
        Larger events are refused.
    threads
        Threads of one ONNX Runtime call.
    """

    names: tuple[str, ...]
    max_event_bytes: int
    threads: int


class ModelLoader:
    """Keeps :class:`ServedModels` at what the registry says.

    A version that cannot be loaded leaves the old one serving; it is tried again only if the trouble
    may pass (the store is away), never if the bundle itself is at fault.
    """

    def __init__(
        self, registry: RegistryReader, served: ServedModels, options: LoadOptions, metrics: InferenceMetrics
    ) -> None:
        self._registry = registry
        self._served = served
        self._options = options
        self._metrics = metrics
        self._wanted: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._loaded = asyncio.Event()
        self.trouble: dict[str, str] = {}
        """Why a model is not at the version the registry wants, by model."""

    async def watch(self) -> None:
        """Note what the registry wants; runs until cancelled."""
        names: Collection[str] | None = self._options.names or None
        async for change in self._registry.watch(names):
            if change.after.champion is not None:
                self._wanted[change.model] = change.after.champion
                self._changed.set()

    async def load(self) -> None:
        """Load what is wanted and not yet served; runs until cancelled."""
        backoff = _FIRST_BACKOFF
        while True:
            self._changed.clear()
            again = False
            for model, version in list(self._wanted.items()):
                if not self._is_served(model, version) and self._refused.get(model) != version:
                    again |= not await self._try(model, version)
            try:
                await asyncio.wait_for(self._changed.wait(), backoff if again else None)
                backoff = _FIRST_BACKOFF
            except TimeoutError:
                backoff = min(2 * backoff, _LONGEST_BACKOFF)

    async def wait_until_serving(self) -> None:
        """Return once every named model answers, or any where none is named."""
        while self.missing() is not None:
            self._loaded.clear()
            await self._loaded.wait()

    def missing(self) -> str | None:
        """Return which models do not answer yet, as a sentence; ``None`` when all do."""
        served = self._served.current
        absent = [name for name in self._options.names if name not in served]
        if absent:
            return f"no champion loaded yet for {', '.join(absent)}" + self._because(absent)
        return None if served else "no model has a champion in the registry" + self._because(self.trouble)

    def _because(self, names: Collection[str]) -> str:
        reasons = [self.trouble[name] for name in names if name in self.trouble]
        return f" ({'; '.join(reasons)})" if reasons else ""

    def _is_served(self, model: str, version: str) -> bool:
        served = self._served.current.get(model)
        return served is not None and served.version == version

    async def _try(self, model: str, version: str) -> bool:
        """Load and swap one version; return whether there is nothing left to try."""
        try:
            path = await self._registry.fetch(model, version)
            bundle = await asyncio.to_thread(load_bundle, path)
            fresh = await asyncio.to_thread(
                ServedModel.load,
                bundle,
                max_event_bytes=self._options.max_event_bytes,
                threads=self._options.threads,
            )
        except ServiceError as error:
            self._metrics.model_loads.labels(model, "failed").inc()
            self.trouble[model] = f"version {version}: {error}"
            log.error(
                "model cannot be loaded, the former version serves on",
                model=model,
                model_version=version,
                error=str(error),
                retrying=error.retriable,
            )
            if not error.retriable:
                self._refused[model] = version
            return not error.retriable
        self._swap(fresh)
        return True

    def _swap(self, fresh: ServedModel) -> None:
        former = self._served.swap(fresh)
        self.trouble.pop(fresh.name, None)
        self._refused.pop(fresh.name, None)
        self._metrics.model_loads.labels(fresh.name, "loaded").inc()
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
        self._loaded.set()
