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
from shared.serving.presence import Presence

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
        self._metrics = metrics
        self._max_event_bytes = max_event_bytes
        self._threads = threads
        self.loader = VersionLoader(
            registry,
            names=names,
            wanted=_wanted,
            load=self._load,
            settle=self._settle,
            loads=metrics.model_loads,
        )
        self.presence = Presence(names, lambda: served.current, lambda: self.loader.trouble)

    async def complete(self) -> None:
        """Return once every model named has its champion, and every other that there is was tried.

        An event of a model that is still being loaded would be refused.
        """
        await self.presence.complete()
        await self.loader.come_to_rest()

    def missing(self) -> str | None:
        """Return what is waited for before anything is read, as a sentence; ``None`` when all is there."""
        return self.presence.missing() or self.loader.untried()

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
            self._swap(champion, pointers.revision)
            served = champion
        self._settle_canary(pointers, loaded)
        return [] if served is None else [served.version]

    def _swap(self, fresh: ServedModel, revision: int) -> None:
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
            revision=revision,
        )
        self.presence.grew()

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
            revision=pointers.revision,
        )


def _wanted(pointers: Pointers) -> list[str]:
    canary = None if pointers.canary is None else pointers.canary.version
    return [version for version in (pointers.champion, canary) if version is not None]
