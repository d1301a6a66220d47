"""Who runs in the shadow: every candidate of the registry, each in a process of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from services.shadow.candidates import Candidate, Candidates, Lineup
from services.shadow.metrics import ShadowMetrics
from shared.bundle.read import load_bundle
from shared.bundle.spec import ModelSpec
from shared.errors import BundleError
from shared.logs import get_logger
from shared.registry import Pointers, RegistryReader
from shared.scoring.isolated import IsolatedSession
from shared.scoring.scorer import Scorer
from shared.serving.loading import VersionLoader
from shared.serving.models import ServedModel

log = get_logger(__name__)

_RETIRED_AFTER = 15.0
"""Seconds until a version that is wanted no more is ended: micro-batches in flight still ask it."""


class Lineups:
    """Keeps :class:`Candidates` at what the registry says.

    Parameters
    ----------
    names
        The models to follow; empty means every model.
    time_limit
        Seconds a version has for a micro-batch.
    """

    def __init__(
        self,
        registry: RegistryReader,
        candidates: Candidates,
        metrics: ShadowMetrics,
        *,
        names: Sequence[str],
        max_event_bytes: int,
        threads: int,
        time_limit: float,
    ) -> None:
        self._candidates = candidates
        self._max_event_bytes = max_event_bytes
        self._threads = threads
        self._time_limit = time_limit
        self._sessions: set[IsolatedSession] = set()
        self.specs: dict[str, ModelSpec] = {}
        """The contract of some version of each model that was ever loaded here."""
        self.loader = VersionLoader(
            registry,
            names=names,
            wanted=_wanted,
            load=self._load,
            settle=self._settle,
            loads=metrics.model_loads,
            let_go=self._let_go,
        )

    def close(self) -> None:
        """End every process."""
        for session in self._sessions:
            session.close()

    def contracts_known(self) -> bool:
        """Return whether labels may be read: there is a contract of every model that there can be one of.

        A version whose store is away is loaded later; a label that is passed over until then is lost.
        """
        pending = self.loader.pending
        return all(model in self.specs or not versions for model, versions in pending.items())

    def missing(self) -> str | None:
        """Return what is waited for before anything is read, as a sentence."""
        return None if self.loader.settled.is_set() else "the registry has named no model yet"

    async def _load(self, path: Path) -> Candidate:
        candidate = await asyncio.to_thread(self._start, path)
        self.specs.setdefault(candidate.model.name, candidate.model.spec)
        return candidate

    def _start(self, path: Path) -> Candidate:
        bundle = load_bundle(path)
        session = IsolatedSession(bundle.model_path, threads=self._threads, time_limit=self._time_limit)
        self._sessions.add(session)
        try:
            scorer = Scorer.over(bundle, session)
            return Candidate(ServedModel.over(bundle, scorer, max_event_bytes=self._max_event_bytes), session)
        except BundleError:
            self._sessions.discard(session)
            session.close()
            raise

    def _settle(self, pointers: Pointers, loaded: Mapping[str, Candidate]) -> Collection[str]:
        running = tuple(loaded[version] for version in pointers.candidates if version in loaded)
        absent = {
            version: text
            for (model, version), text in self.loader.refused.items()
            if model == pointers.model and version in pointers.candidates
        }
        bases = {version: pointers.basis(version) for version in pointers.candidates}
        champion = loaded.get(pointers.champion or "")
        lineup = Lineup(running, absent, champion, bases, pointers.champion)
        if lineup != self._candidates.lineups.get(pointers.model):
            self._candidates.set(pointers.model, lineup)
            log.info(
                "candidates changed",
                model=pointers.model,
                running=[candidate.model.version for candidate in running],
                absent=sorted(absent),
                champion=pointers.champion,
                revision=pointers.revision,
            )
        return []

    def _let_go(self, candidate: Candidate) -> None:
        session = candidate.session
        assert isinstance(session, IsolatedSession)
        self._sessions.discard(session)
        timer = threading.Timer(_RETIRED_AFTER, session.close)
        timer.daemon = True
        timer.start()


def _wanted(pointers: Pointers) -> list[str]:
    champion = [] if pointers.champion is None else [pointers.champion]
    return [*pointers.candidates, *champion]
