"""The models being served: loaded, warm, and swapped whole between two micro-batches."""

from __future__ import annotations

from dataclasses import dataclass

from services.inference.reports import CountedAs
from shared.bundle.read import Bundle
from shared.scoring.events import EventDecoder
from shared.scoring.scorer import Scorer


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One version of one model, ready to answer."""

    name: str
    version: str
    digest: str
    counted_as: CountedAs
    decoder: EventDecoder
    scorer: Scorer

    @classmethod
    def load(cls, bundle: Bundle, *, max_event_bytes: int, threads: int) -> ServedModel:
        """Return a bundle loaded and warmed up; blocking, so call it in a thread.

        Raises
        ------
        BundleError
            The graph cannot be loaded, or it fails on a row that fits its own ``model.toml``.
        """
        scorer = Scorer.load(bundle, threads=threads)
        scorer.warm_up()
        return cls(
            name=bundle.spec.name,
            version=bundle.spec.version,
            digest=bundle.digest,
            counted_as=CountedAs(
                bundle.spec.name,
                bundle.spec.version,
                bundle.spec.window * 1000,
                bundle.spec.task == "regression",
            ),
            decoder=EventDecoder(bundle.spec, max_bytes=max_event_bytes),
            scorer=scorer,
        )


class ServedModels:
    """The current version of every served model.

    A micro-batch takes one look at :attr:`current` and keeps it to its end; a swap replaces the
    mapping as a whole, so no batch sees half of one.
    """

    def __init__(self) -> None:
        self.current: dict[str, ServedModel] = {}

    def swap(self, model: ServedModel) -> ServedModel | None:
        """Serve ``model`` from the next micro-batch on; return the version it replaces."""
        former = self.current.get(model.name)
        self.current = {**self.current, model.name: model}
        return former
