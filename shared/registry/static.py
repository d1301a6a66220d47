"""A registry without Redis: fixed bundles, each the champion of its model, and never a change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from typing import Self

from shared.bundle.read import Bundle, load_bundle
from shared.errors import ConfigError, RegistryError
from shared.registry.records import Change, HistoryEntry, Pointers, VersionInfo


class StaticRegistry:
    """A :class:`~shared.registry.protocol.RegistryReader` over bundle directories.

    Parameters
    ----------
    bundle_paths
        One directory per model. They are verified on entering the context.

    Raises
    ------
    BundleError
        On entering: a bundle is damaged.
    ConfigError
        On entering: two bundles are of the same model.
    """

    def __init__(self, bundle_paths: Sequence[Path]) -> None:
        self._paths = tuple(bundle_paths)
        self._bundles: dict[str, Bundle] = {}

    @property
    def available(self) -> bool:
        """Always true: there is nothing that could be away."""
        return True

    async def __aenter__(self) -> Self:
        for path in self._paths:
            bundle = await asyncio.to_thread(load_bundle, path)
            earlier = self._bundles.setdefault(bundle.spec.name, bundle)
            if earlier is not bundle:
                raise ConfigError(
                    [f"model_bundles: {earlier.path} and {path} are both of the model {bundle.spec.name}"]
                )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._bundles.clear()

    async def models(self) -> tuple[str, ...]:
        """Return the names of all models, sorted."""
        return tuple(sorted(self._bundles))

    async def versions(self, model: str) -> tuple[VersionInfo, ...]:
        """Return the single version of a model."""
        bundle = self._bundles.get(model)
        if bundle is None:
            return ()
        info = VersionInfo(
            model=model,
            version=bundle.spec.version,
            digest=bundle.digest,
            task=bundle.spec.task,
            features=len(bundle.spec.features),
            size=bundle.size,
            registered_at=0,
            who="",
            why="fixed bundle",
        )
        return (info,)

    async def pointers(self, model: str) -> Pointers:
        """Return the bundle's version as champion, at revision 1 for ever."""
        bundle = self._bundles.get(model)
        if bundle is None:
            return Pointers(model=model)
        return Pointers(model=model, champion=bundle.spec.version, revision=1, champion_revision=1)

    async def history(self, model: str, limit: int | None = None) -> tuple[HistoryEntry, ...]:
        """Return nothing: nothing changes."""
        return ()

    async def fetch(self, model: str, version: str) -> Path:
        """Return the bundle's directory."""
        bundle = self._bundles.get(model)
        if bundle is None or bundle.spec.version != version:
            raise RegistryError(f"version {version} of {model} is none of the fixed bundles")
        return bundle.path

    async def watch(self, models: Collection[str] | None = None) -> AsyncIterator[Change]:
        """Yield the state of each model once, and then wait for ever."""
        for model in sorted(self._bundles):
            if models is None or model in models:
                yield Change(model, None, await self.pointers(model))
        await asyncio.Event().wait()
