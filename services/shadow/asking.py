"""What the candidates are asked in one micro-batch: decoded, answered, and made ready to be compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from services.shadow.candidates import Candidate, Lineup
from services.shadow.sides import NOTHING, REASONS, Asked, Names, Spent, Texts
from shared.bundle.spec import ModelSpec
from shared.errors import ServiceError
from shared.kafka.records import Records
from shared.messages import Prediction, Source
from shared.scoring.events import DecodedEvents
from shared.scoring.isolated import ModelLost
from shared.serving.models import ServedModel
from shared.serving.routing import Micro, Rows, Times, decode_rows
from shared.serving.segments import Coded, coded, combined

_encode = msgspec.json.Encoder().encode
_WINDOW = 60_000


@dataclass(slots=True)
class Decoded:
    """Some rows of a micro-batch, decoded for one contract."""

    events: DecodedEvents
    kept: Rows
    refused: dict[int, ServiceError]


class Decoding:
    """Decodes rows once for all versions that declare the same features."""

    def __init__(self, micro: Micro, rows: list[int] | None, *, max_future: int) -> None:
        self._micro = micro
        self._rows = rows
        self._max_future = max_future
        self._done: list[tuple[ModelSpec, Decoded]] = []

    def of(self, model: ServedModel) -> Decoded:
        """Return the rows decoded by a version's contract."""
        for spec, decoded in self._done:
            if spec is model.spec or (spec.features, spec.name) == (model.spec.features, model.name):
                return decoded
        fresh = Decoded(*decode_rows(model.decoder, self._micro, self._rows, max_future=self._max_future))
        self._done.append((model.spec, fresh))
        return fresh


@dataclass(slots=True)
class Ask:
    """One candidate and the rows it is asked about.

    Attributes
    ----------
    basis
        The registry's revision at which the comparison began.
    rows
        Rows of the micro-batch, ascending; every array below has one entry for each.
    decoded
        None for a candidate that cannot be loaded.
    timed_by
        The champion, where the two are timed on this micro-batch, and its decoded rows.
    payloads
        The predictions, encoded; of the rows in ``answered`` only.
    timing
        What the champion and the candidate spent, each on the rows that it was asked.
    """

    model: str
    version: str
    spec: ModelSpec | None
    rows: Rows
    basis: int = 0
    candidate: Candidate | None = None
    decoded: Decoded | None = None
    timed_by: tuple[Candidate, Decoded] | None = None
    status: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, dtype=np.uint8))
    scores: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    classes: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    occurred_at: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    event_ids: list[str] = field(default_factory=list)
    segments: dict[str, Texts] = field(default_factory=dict)
    answered: Rows = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    payloads: list[bytes] = field(default_factory=list)
    timing: tuple[Spent, Spent] | None = None

    def answer(self, micro: Micro, clock: Callable[[], int], sources: Sequence[Source]) -> int:
        """Ask the candidate and note what it says; return when, epoch milliseconds."""
        count = len(self.rows)
        self.status = np.full(count, REASONS.index("Unavailable"), dtype=np.uint8)
        self.scores = np.full(count, np.nan)
        self.classes = np.full(count, NOTHING, dtype=np.int64)
        self.occurred_at = np.full(count, -1, dtype=np.int64)
        self.event_ids = [""] * count
        if self.decoded is None or self.candidate is None:
            return clock()
        return self._note(self.decoded, self.candidate, micro, clock, sources)

    def _note(
        self,
        decoded: Decoded,
        candidate: Candidate,
        micro: Micro,
        clock: Callable[[], int],
        sources: Sequence[Source],
    ) -> int:
        events, spec = decoded.events, candidate.model.spec
        answers, seconds = candidate.predict(events.features) if len(events) else (None, 0.0)
        scored_at = clock()
        at = np.searchsorted(self.rows, decoded.kept)
        segments = self._describe(events, spec, at)
        for row, error in decoded.refused.items():
            self.status[np.searchsorted(self.rows, row)] = REASONS.index(type(error).__name__)
        if answers is None:
            return scored_at
        if isinstance(answers, ModelLost):
            self.status[at] = REASONS.index(answers.loss)
            return scored_at
        if self.timed_by is not None:
            self._time((len(events), seconds))
        self.status[at] = 0
        self.scores[at] = answers.score
        if answers.classes is not None:
            self.classes[at] = answers.classes
        self.answered = decoded.kept
        for position, failure in answers.failed.items():
            self.status[at[position]] = REASONS.index(type(failure).__name__)
        if answers.failed:
            good = [position for position in range(len(events)) if position not in answers.failed]
            events, answers, self.answered = events.select(good), answers.select(good), self.answered[good]
            segments = {name: Coded(texts, codes[good]) for name, (texts, codes) in segments.items()}
            self.scores[self.status != 0] = np.nan
        rows = self.answered.tolist()
        predictions = map(
            Prediction,
            events.event_ids,
            repeat(spec.name),
            repeat(spec.version),
            answers.score.tolist(),
            events.occurred_at,
            repeat(scored_at),
            sources if len(rows) == len(sources) else [sources[row] for row in rows],
            events.entity_ids,
            answers.labels(spec),
            answers.probabilities_by_label(spec),
            combined(list(segments), list(segments.values())) if segments else repeat(None),
            repeat(False),
            repeat(self.basis),
        )
        self.payloads = list(map(_encode, predictions))
        return scored_at

    def _describe(self, events: DecodedEvents, spec: ModelSpec, at: npt.NDArray[np.intp]) -> dict[str, Coded]:
        """Note what is known of each event itself; return the segments of those that were decoded."""
        self.occurred_at[at] = np.fromiter(events.occurred_at, np.int64, len(events))
        whole = len(at) == len(self.rows)
        self.event_ids = (
            list(events.event_ids) if whole else _spread(events.event_ids, at, len(self.rows), "")
        )
        found: dict[str, Coded] = {}
        for feature, column in zip(spec.features, events.features, strict=True):
            if feature.name in spec.segments:
                texts, codes = found[feature.name] = coded(column)
                self.segments[feature.name] = Texts(texts, codes)
                if not whole:
                    every = np.full(len(self.rows), len(texts), dtype=np.int32)
                    every[at] = codes
                    self.segments[feature.name] = Texts([*texts, None], every)
        return found

    def _time(self, ours: Spent) -> None:
        """Ask the champion too; what either of them fails on is time that it took all the same."""
        assert self.timed_by is not None
        champion, decoded = self.timed_by
        if not len(decoded.events):
            return
        answers, seconds = champion.predict(decoded.events.features)
        if not isinstance(answers, ModelLost):
            self.timing = ((len(decoded.events), seconds), ours)

    def of_partition(
        self, part: Records, bounds: tuple[int, int], timestamps: Times, scored_at: int, names: Names
    ) -> Asked | None:
        """Return what was asked about one partition's records.

        Parameters
        ----------
        bounds
            The partition's rows.
        timestamps
            Of all rows of the micro-batch.
        """
        low = bounds[0]
        first, last = np.searchsorted(self.rows, bounds).tolist()
        if first == last:
            return None
        here, spec = slice(first, last), self.spec
        at = self.rows[here] - low
        labels = [] if spec is None or spec.task == "regression" else list(spec.classes or ("0", "1"))
        codes = np.append(names.codes(labels), NOTHING)  # the last one is for no label
        return Asked(
            self.model,
            self.version,
            _WINDOW if spec is None else spec.window * 1000,
            spec is not None and spec.task == "regression",
            np.fromiter(part.offsets, np.int64, len(part))[at],
            self.status[here],
            self.scores[here],
            codes[np.where(self.status[here] == 0, self.classes[here], NOTHING)],
            self.occurred_at[here],
            timestamps[self.rows[here]],
            np.full(last - first, scored_at, dtype=np.int64),
            self.event_ids[here],
            basis=self.basis,
            texts={name: texts.take(here) for name, texts in self.segments.items()},
        )


def _spread(values: Sequence[Any], at: npt.NDArray[np.intp], count: int, filler: Any) -> list[Any]:
    """Return ``values`` at the positions ``at`` of a list of ``count``, the filler elsewhere."""
    spread = [filler] * count
    for position, value in zip(at.tolist(), values, strict=True):
        spread[position] = value
    return spread


def asks(
    micro: Micro, model: str, lineup: Lineup, rows: list[int] | None, *, max_future: int, timed: bool
) -> list[Ask]:
    """Return what each candidate of one model is to be asked."""
    decoding = Decoding(micro, rows, max_future=max_future)
    where = np.arange(len(micro.values)) if rows is None else np.array(rows, dtype=np.intp)
    bases = lineup.bases
    made = [Ask(model, v, lineup.spec, where, bases.get(v, 0)) for v in sorted(lineup.absent)]
    for candidate in lineup.candidates:
        decoded = decoding.of(candidate.model)
        version = candidate.model.version
        ask = Ask(model, version, candidate.model.spec, where, bases.get(version, 0), candidate, decoded)
        if timed and lineup.champion is not None:
            ask.timed_by = (lineup.champion, decoding.of(lineup.champion.model))
        made.append(ask)
    return made


def sources_of(batch: Sequence[Records]) -> list[Source]:
    """Return where each row of a micro-batch lies."""
    parts: Any = (map(Source, repeat(p.topic), repeat(p.partition), p.offsets) for p in batch)
    return list(chain.from_iterable(parts))
