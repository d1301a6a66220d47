"""The candidates, each in a process of its own, and the champion beside them for its timing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from shared.bundle.spec import ModelSpec
from shared.scoring.isolated import ModelLost
from shared.scoring.matrix import Column
from shared.scoring.scorer import Scores
from shared.serving.models import ServedModel

AT_ONCE: Final = 4_000
"""Events that a model is asked about in one call, at most: calls half as long cost 0.1 us an event more."""


class Session(Protocol):
    """What is asked of the process that a model runs in."""

    @property
    def trouble(self) -> str | None:
        """What went wrong last, as a sentence; None while it answers."""
        ...

    cpu_seconds: float

    def begin(self) -> None:
        """Begin a call: the time limit runs from here."""
        ...

    def close(self) -> None:
        """End it."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A version that runs in the shadow."""

    model: ServedModel
    session: Session

    def predict(self, columns: Sequence[Column]) -> tuple[Scores | ModelLost, float]:
        """Return the answers, or why there are none, and the seconds of processor time it took.

        The time limit is for :data:`AT_ONCE` events: how many a micro-batch has depends on how far behind
        the shadow is, and a model is not too slow because of that.
        """
        began = time.thread_time() + self.session.cpu_seconds
        try:
            parts = [self._part(columns, first) for first in range(0, max(1, len(columns[0])), AT_ONCE)]
            answer: Scores | ModelLost = parts[0] if len(parts) == 1 else Scores.joined(parts)
        except ModelLost as error:
            answer = error
        return answer, time.thread_time() + self.session.cpu_seconds - began

    def _part(self, columns: Sequence[Column], first: int) -> Scores:
        self.session.begin()
        if first == 0 and len(columns[0]) <= AT_ONCE:
            return self.model.scorer.predict(columns)
        return self.model.scorer.predict([column[first : first + AT_ONCE] for column in columns])


@dataclass(frozen=True, slots=True)
class Lineup:
    """Who runs for one model.

    Attributes
    ----------
    candidates
        Those that are loaded.
    absent
        Version and reason of those that can never be loaded: they are asked in vain, and that is counted.
        A version whose store is away is none of them: it is asked when it is there.
    champion
        The champion, loaded too; None until it is.
    bases
        By version: the registry's revision at which its comparison began. It names every candidate of the
        registry, also one that is still being loaded.
    crowned
        The champion by the registry, loaded or not.
    """

    candidates: tuple[Candidate, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    champion: Candidate | None = None
    bases: Mapping[str, int] = field(default_factory=dict)
    crowned: str | None = None

    @property
    def spec(self) -> ModelSpec | None:
        """The contract of whichever version is loaded, the champion's first."""
        some = [self.champion] if self.champion is not None else list(self.candidates)
        return some[0].model.spec if some else None


class Candidates:
    """What runs in the shadow now; replaced as a whole, so that no micro-batch sees half of a change."""

    def __init__(self) -> None:
        self.lineups: dict[str, Lineup] = {}
        """By model: every model that the registry knows a champion or candidate of."""

    @property
    def running(self) -> dict[str, Lineup]:
        """The models that have candidates."""
        return {name: lineup for name, lineup in self.lineups.items() if lineup.candidates or lineup.absent}

    @property
    def compared(self) -> dict[str, dict[tuple[str, int], str | None]]:
        """By model: version and basis of every candidate of the registry, and whom it is held against."""
        return {
            name: dict.fromkeys(lineup.bases.items(), lineup.crowned) for name, lineup in self.lineups.items()
        }

    def set(self, model: str, lineup: Lineup) -> None:
        """Let these run from the next micro-batch on."""
        self.lineups = {**self.lineups, model: lineup}

    def troubles(self) -> dict[tuple[str, str], str]:
        """Return what is wrong with a candidate, by model and version."""
        found: dict[tuple[str, str], str] = {}
        for name, lineup in self.lineups.items():
            found |= {(name, version): text for version, text in lineup.absent.items()}
            for candidate in lineup.candidates:
                if candidate.session.trouble is not None:
                    found[name, candidate.model.version] = candidate.session.trouble
        return found
