"""The candidates, each in a process of its own, and the champion beside them for its timing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.bundle.spec import ModelSpec
from shared.scoring.isolated import ModelLost
from shared.scoring.matrix import Column
from shared.scoring.scorer import Scores
from shared.serving.models import ServedModel


class Session(Protocol):
    """What is asked of the process that a model runs in."""

    @property
    def trouble(self) -> str | None:
        """What went wrong last, as a sentence; None while it answers."""
        ...

    cpu_seconds: float

    def begin(self) -> None:
        """Begin a micro-batch: the time limit runs from here."""
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
        """Return the answers, or why there are none, and the seconds of processor time it took."""
        self.session.begin()
        began = time.thread_time() + self.session.cpu_seconds
        try:
            answer: Scores | ModelLost = self.model.scorer.predict(columns)
        except ModelLost as error:
            answer = error
        return answer, time.thread_time() + self.session.cpu_seconds - began


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
