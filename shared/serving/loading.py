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
_REFUSED_SECONDS = 30.0

Loaded = TypeVar("Loaded")


class VersionLoader(Generic[Loaded]):
    """Keeps loaded what the registry wants, for whoever answers with it.

    A version that cannot be loaded is tried again: soon where the trouble may pass (the store is away),
    every half minute where the bundle itself is at fault, since ``models register`` repairs a damaged one and
    changes no pointer by it. Whatever is loaded already stays meanwhile.

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
        self._refused: dict[tuple[str, str], float] = {}
        """When a version whose bundle is at fault is tried again, by the loop's clock."""
        self._changed = asyncio.Event()
        self._at_rest = asyncio.Event()
        self.troubles: dict[tuple[str, str], str] = {}
        """Why a version is not loaded, by model and version."""
        self.settled = asyncio.Event()
        """Set once everything that the registry first told of was tried."""

    @property
    def refused(self) -> dict[tuple[str, str], str]:
        """Why a version can never be loaded, by model and version; what may pass is not among them."""
        return {key: text for key, text in self.troubles.items() if key in self._refused}

    @property
    def pending(self) -> dict[str, frozenset[str]]:
        """By model: the versions that are wanted, not loaded, and not refused for good."""
        found = {}
        for model, pointers in self._pointers.items():
            loaded = self._loaded.get(model, {})
            wanted = frozenset(v for v in self._wanted(pointers) if v not in loaded)
            found[model] = frozenset(v for v in wanted if (model, v) not in self._refused)
        return found

    @property
    def not_loaded(self) -> dict[str, dict[str, str]]:
        """Why a version is not loaded, by model and version."""
        found: dict[str, dict[str, str]] = {}
        for (model, version), text in self.troubles.items():
            found.setdefault(model, {})[version] = text
        return found

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

    async def come_to_rest(self) -> None:
        """Return once everything that the registry has told of was tried, be it loaded or not."""
        await self.settled.wait()
        await self._at_rest.wait()

    def untried(self) -> str | None:
        """Return what readiness has to wait for, as a sentence; ``None`` once everything was tried."""
        return None if self.settled.is_set() else "not every model of the registry has been loaded yet"

    async def load(self) -> None:
        """Load what is wanted and not there yet; runs until cancelled."""
        backoff = _FIRST_BACKOFF
        while True:
            self._changed.clear()
            self._at_rest.clear()
            again = False
            for model in list(self._pointers):
                again |= not await self._bring_up(model)
            if self._pointers and not self._changed.is_set():
                self.settled.set()
                self._at_rest.set()
            try:
                await asyncio.wait_for(self._changed.wait(), self._pause(backoff if again else None))
                backoff = _FIRST_BACKOFF
            except TimeoutError:
                backoff = min(2 * backoff, _LONGEST_BACKOFF)

    def _pause(self, backoff: float | None) -> float | None:
        """Return the seconds until something is to be tried again, ``None`` where nothing is."""
        now = asyncio.get_running_loop().time()
        pauses = [max(0.0, due - now) for due in self._refused.values()]
        return min([*pauses, *([] if backoff is None else [backoff])], default=None)

    async def _bring_up(self, model: str) -> bool:
        """Load a model's versions one by one; return whether there is nothing left to try soon."""
        complete = True
        now = asyncio.get_running_loop().time()
        for version in self._wanted(self._pointers[model]):
            if version in self._loaded.get(model, {}) or self._refused.get((model, version), now) > now:
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
        for key in [key for key in self._refused if key[0] == model and key[1] not in used]:
            del self._refused[key]

    async def _try(self, model: str, version: str) -> bool:
        """Load one version; return whether there is nothing left to try soon."""
        try:
            fresh = await self._load(await self._registry.fetch(model, version))
        except ServiceError as error:
            self._note_failure(model, version, error)
            return not error.retriable
        self._loads.labels(model, "loaded").inc()
        self._refused.pop((model, version), None)
        self.troubles.pop((model, version), None)
        self._loaded.setdefault(model, {})[version] = fresh
        return True

    def _note_failure(self, model: str, version: str, error: ServiceError) -> None:
        """Keep why a version is not loaded, and say it once."""
        self._loads.labels(model, "failed").inc()
        self._refused.pop((model, version), None)
        if not error.retriable:
            self._refused[model, version] = asyncio.get_running_loop().time() + _REFUSED_SECONDS
        text = f"version {version}: {error}"
        if self.troubles.get((model, version)) == text and not error.retriable:
            return
        self.troubles[model, version] = text
        log.error(
            "model cannot be loaded, what is loaded stays",
            model=model,
            model_version=version,
            error=str(error),
            retrying=error.retriable,
        )
