"""Follows the registry: loads the versions that are wanted, and hands them over when they are warm."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from prometheus_client import Counter

from shared.errors import ServiceError
from shared.logs import get_logger
from shared.registry import Pointers, RegistryReader

log = get_logger(__name__)

_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 30.0

Loaded = TypeVar("Loaded")


class VersionLoader(Generic[Loaded]):
    """Keeps loaded what the registry wants, for whoever answers with it.

    A version that cannot be loaded is tried again only if the trouble may pass (the store is away),
    never if the bundle itself is at fault. Whatever is loaded already stays meanwhile.

    Parameters
    ----------
    registry
        What to follow.
    names
        The models; empty means every model there is.
    wanted
        Returns the versions of a model to load, in this order.
    load
        Loads a bundle's directory.
    settle
        Called on every change with a model's pointers and its loaded versions; returns the versions
        in use, so that all others can be let go.
    let_go
        Called with each version that is not in use any more.
    loads
        Counter with the labels model and outcome.
    """

    def __init__(
        self,
        registry: RegistryReader,
        *,
        names: Sequence[str],
        wanted: Callable[[Pointers], Sequence[str]],
        load: Callable[[Path], Awaitable[Loaded]],
        settle: Callable[[Pointers, Mapping[str, Loaded]], Collection[str]],
        loads: Counter,
        let_go: Callable[[Loaded], None] = lambda loaded: None,
    ) -> None:
        self._registry = registry
        self._names = tuple(names)
        self._wanted = wanted
        self._load = load
        self._settle = settle
        self._let_go = let_go
        self._loads = loads
        self._pointers: dict[str, Pointers] = {}
        self._loaded: dict[str, dict[str, Loaded]] = {}
        self._refused: set[tuple[str, str]] = set()
        self._changed = asyncio.Event()
        self.troubles: dict[tuple[str, str], str] = {}
        """Why a version is not loaded, by model and version."""
        self.settled = asyncio.Event()
        """Set once everything that the registry first told of was tried."""

    @property
    def trouble(self) -> dict[str, str]:
        """Why a model is not at the versions the registry wants, by model."""
        found: dict[str, list[str]] = {}
        for (model, _), text in self.troubles.items():
            found.setdefault(model, []).append(text)
        return {model: "; ".join(texts) for model, texts in found.items()}

    async def watch(self) -> None:
        """Note what the registry wants; runs until cancelled."""
        async for change in self._registry.watch(self._names or None):
            self._pointers[change.model] = change.after
            self._changed.set()

    async def load(self) -> None:
        """Load what is wanted and not there yet; runs until cancelled."""
        backoff = _FIRST_BACKOFF
        while True:
            self._changed.clear()
            again = False
            for model in list(self._pointers):
                again |= not await self._bring_up(model)
            if self._pointers:
                self.settled.set()
            try:
                await asyncio.wait_for(self._changed.wait(), backoff if again else None)
                backoff = _FIRST_BACKOFF
            except TimeoutError:
                backoff = min(2 * backoff, _LONGEST_BACKOFF)

    async def _bring_up(self, model: str) -> bool:
        """Load a model's versions one by one; return whether there is nothing left to try."""
        complete = True
        for version in self._wanted(self._pointers[model]):
            if version in self._loaded.get(model, {}) or (model, version) in self._refused:
                continue
            complete &= await self._try(model, version)
            self._hand_over(model)  # the champion answers before its candidate is loaded
        self._hand_over(model)
        return complete

    def _hand_over(self, model: str) -> None:
        pointers = self._pointers[model]
        loaded = self._loaded.setdefault(model, {})
        used = {*self._settle(pointers, loaded), *self._wanted(pointers)}
        for version in [version for version in loaded if version not in used]:
            self._let_go(loaded.pop(version))
        for key in [key for key in self.troubles if key[0] == model and key[1] not in used]:
            del self.troubles[key]
        self._refused = {key for key in self._refused if key[0] != model or key[1] in used}

    async def _try(self, model: str, version: str) -> bool:
        """Load one version; return whether there is nothing left to try."""
        try:
            fresh = await self._load(await self._registry.fetch(model, version))
        except ServiceError as error:
            self._loads.labels(model, "failed").inc()
            self.troubles[model, version] = f"version {version}: {error}"
            log.error(
                "model cannot be loaded, what is loaded stays",
                model=model,
                model_version=version,
                error=str(error),
                retrying=error.retriable,
            )
            if not error.retriable:
                self._refused.add((model, version))
            return not error.retriable
        self._loads.labels(model, "loaded").inc()
        self.troubles.pop((model, version), None)
        self._loaded.setdefault(model, {})[version] = fresh
        return True
