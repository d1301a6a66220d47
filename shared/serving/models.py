"""The models being served: loaded, warm, and swapped whole between two micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from shared.bundle.read import Bundle
from shared.bundle.spec import ModelSpec
from shared.scoring.events import EventDecoder
from shared.scoring.matrix import Column
from shared.scoring.scorer import Scorer
from shared.serving.segments import segments_of


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One version of one model, ready to answer.

    Attributes
    ----------
    segments
        Gives each event's segments, from its decoded columns and their length.
    """

    name: str
    version: str
    digest: str
    spec: ModelSpec
    decoder: EventDecoder
    scorer: Scorer
    segments: Callable[[Sequence[Column], int], Iterable[dict[str, str] | None]]

    @classmethod
    def load(cls, bundle: Bundle, *, max_event_bytes: int, threads: int) -> ServedModel:
        """Return a bundle loaded and warmed up; blocking, so call it in a thread.

        Raises
        ------
        BundleError
            The graph cannot be loaded, or it fails on a row that fits its own ``model.toml``.
        """
        return cls.over(bundle, Scorer.load(bundle, threads=threads), max_event_bytes=max_event_bytes)

    @classmethod
    def over(cls, bundle: Bundle, scorer: Scorer, *, max_event_bytes: int) -> ServedModel:
        """Return a bundle served by a scorer, warmed up; blocking.

        Raises
        ------
        BundleError
            The model fails on a row that fits its own ``model.toml``.
        """
        scorer.warm_up()
        return cls(
            name=bundle.spec.name,
            version=bundle.spec.version,
            digest=bundle.digest,
            spec=bundle.spec,
            decoder=EventDecoder(bundle.spec, max_bytes=max_event_bytes),
            scorer=scorer,
            segments=segments_of(bundle.spec),
        )


@dataclass(frozen=True, slots=True)
class Canary:
    """A candidate that answers in the champion's place.

    Attributes
    ----------
    share
        Share of the keys that it answers, in (0, 1].
    """

    model: ServedModel
    share: float


class ServedModels:
    """The current version of every served model, and the candidate that answers some of its traffic.

    A micro-batch takes one look at :attr:`current` and :attr:`canaries` and keeps it to its end; a swap
    replaces the mapping as a whole, so no batch sees half of one.
    """

    def __init__(self) -> None:
        self.current: dict[str, ServedModel] = {}
        self.canaries: dict[str, Canary] = {}

    def swap(self, model: ServedModel) -> ServedModel | None:
        """Serve ``model`` from the next micro-batch on; return the version it replaces."""
        former = self.current.get(model.name)
        self.current = {**self.current, model.name: model}
        return former

    def set_canary(self, name: str, canary: Canary | None) -> None:
        """Let a candidate answer its share of a model's traffic from the next micro-batch on."""
        others = {other: kept for other, kept in self.canaries.items() if other != name}
        self.canaries = others if canary is None else {**others, name: canary}
