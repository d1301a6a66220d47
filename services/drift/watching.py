"""Which versions are counted: the champions, each from the moment it is loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from services.drift.metrics import DriftMetrics
from shared.bundle.baseline import load_baseline
from shared.bundle.read import load_bundle
from shared.drift.stream.watched import Watched
from shared.logs import get_logger
from shared.registry import Pointers, RegistryReader
from shared.serving.loading import VersionLoader
from shared.serving.presence import Presence

log = get_logger(__name__)


class Watchlist:
    """The versions being watched; replaced as a whole, so that no batch sees half of a change.

    Attributes
    ----------
    champions
        The version to count events for, by model.
    versions
        Those and their predecessors by model and version: their last predictions may still come.
    """

    def __init__(self) -> None:
        self.champions: dict[str, Watched] = {}
        self.versions: dict[tuple[str, str], Watched] = {}

    def put(self, fresh: Watched) -> Watched | None:
        """Watch a version from the next batch on; return the one it replaces."""
        former = self.champions.get(fresh.model)
        others = {key: one for key, one in self.versions.items() if key[0] != fresh.model}
        mine = {(one.model, one.version): one for one in (former, fresh) if one is not None}
        self.versions = others | mine
        self.champions = {**self.champions, fresh.model: fresh}
        return former


class ChampionWatch:
    """Keeps a :class:`Watchlist` at what the registry says.

    Parameters
    ----------
    names
        The models to watch; empty means every model that has a champion.
    learn
        Events to learn a baseline from where a bundle has none.
    max_future
        Milliseconds by which an event may lie after its record.
    """

    def __init__(
        self,
        registry: RegistryReader,
        watchlist: Watchlist,
        metrics: DriftMetrics,
        *,
        names: Sequence[str],
        learn: int,
        max_future: int,
    ) -> None:
        self._watchlist = watchlist
        self._metrics = metrics
        self._learn = learn
        self._max_future = max_future
        self.loader = VersionLoader(
            registry,
            names=names,
            wanted=lambda pointers: [] if pointers.champion is None else [pointers.champion],
            load=self._load,
            settle=self._settle,
            loads=metrics.model_loads,
        )
        self.presence = Presence(names, lambda: watchlist.champions, lambda: self.loader.trouble)

    async def complete(self) -> None:
        """Return once every model named has its champion, and every other that there is was tried."""
        await self.presence.complete()
        await self.loader.come_to_rest()

    def missing(self) -> str | None:
        """Return what is waited for before anything is read, as a sentence; ``None`` when all is there."""
        return self.presence.missing() or self.loader.untried()

    async def _load(self, path: Path) -> Watched:
        return await asyncio.to_thread(self._read, path)

    def _read(self, path: Path) -> Watched:
        bundle = load_bundle(path)
        return Watched.of(bundle.spec, load_baseline(bundle), learn=self._learn, max_future=self._max_future)

    def _settle(self, pointers: Pointers, loaded: Mapping[str, Watched]) -> Collection[str]:
        champion = loaded.get(pointers.champion or "")
        current = self._watchlist.champions.get(pointers.model)
        if champion is None or champion is current:
            return [] if current is None else [current.version]
        former = self._watchlist.put(champion)
        if former is not None:
            self._metrics.model_info.remove(former.model, former.version)
        self._metrics.model_info.labels(champion.model, champion.version).set(1)
        log.info(
            "model watched",
            model=champion.model,
            model_version=champion.version,
            former=former.version if former else None,
            baseline="bundle" if champion.begin.baseline else "to be learnt",
            revision=pointers.revision,
        )
        self.presence.grew()
        return [champion.version]
