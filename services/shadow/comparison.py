"""One partition: the two sides that wait for each other, and the windows that what is settled counts in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from services.shadow.cells import Cell, Rows
from services.shadow.sides import (
    ANSWERED,
    FALLBACK,
    NOTHING,
    Answered,
    Asked,
    Ints,
    Key,
    Names,
    Spent,
    decode_array,
    encode_array,
    joined,
)
from services.shadow.windows import Asker, Compared, Windows
from shared.messages import ShadowReport

NO_CHAMPION: Final = "none"
"""Champion of the events that came before any champion's answer."""

_MISSING_KEPT: Final = 10_000


class _State(msgspec.Struct):
    """What survives of a partition.

    Attributes
    ----------
    asked_to
        The events below this offset have been put to the candidates.
    answered_to
        The champion is known to have gone past every event below this offset.
    read_to
        Where to read on in the predictions; -1 for their beginning.
    passed
        A position in the predictions, and the offset that the champion had gone past when they ended there.
    missing
        Offsets settled without an answer of the champion, the latest of them.
    again
        Offset and code of the model of predictions that came a second time or too late.
    """

    asked_to: int = 0
    answered_to: int = 0
    read_to: int = -1
    asked: list[Asked] = []
    answered: Answered = msgspec.field(default_factory=Answered.none)
    names: list[str] = []
    askers: list[Asker] = []
    in_force: dict[str, str] = {}
    passed: tuple[int, int] | None = None
    missing: list[int] = []
    again: list[tuple[int, int]] = []
    cells: list[Cell] = []


_encode = msgspec.msgpack.Encoder(enc_hook=encode_array).encode
_decode = msgspec.msgpack.Decoder(_State, dec_hook=decode_array).decode


class PartitionComparison:
    """Settles the events of one partition, in their order, and counts them by window."""

    def __init__(self, topic: str, partition: int, next_offset: int, state: bytes | None) -> None:
        self._topic = topic
        self._partition = partition
        self._state = _decode(state) if state else _State(asked_to=next_offset)
        self._names = Names(self._state.names)
        self._windows = Windows(self._state.askers, self._state.cells)
        self._missing = dict.fromkeys(self._state.missing)

    @property
    def names(self) -> Names:
        """Codes of this partition's models, versions and labels."""
        return self._names

    @property
    def asked_to(self) -> int:
        """The events below this offset have been put to the candidates."""
        return self._state.asked_to

    @property
    def answered_to(self) -> int:
        """The champion is known to have gone past every event below this offset."""
        return self._state.answered_to

    @property
    def read_to(self) -> int:
        """Where to read on in the predictions."""
        return self._state.read_to

    @property
    def asks_waiting(self) -> int:
        """How many answers of candidates wait for the champion."""
        return sum(map(len, self._state.asked))

    @property
    def answers_waiting(self) -> int:
        """How many answers of the champion wait for the candidates."""
        return len(self._state.answered)

    @property
    def first_waiting(self) -> int:
        """The first event that waits for the champion, or the next to be asked about."""
        asked = self._state.asked
        return min((int(one.offsets[0]) for one in asked), default=self._state.asked_to)

    @property
    def open_windows(self) -> int:
        """How many windows are held."""
        return len(self._windows)

    def snapshot(self) -> bytes:
        """Return the state to commit."""
        state = self._state
        state.names = self._names.known
        state.askers = self._windows.askers
        state.missing = list(self._missing)
        state.cells = self._windows.cells
        return _encode(state)

    def ask(self, asked: list[Asked], next_offset: int, compared: Compared | None = None) -> None:
        """Take what the candidates were asked up to ``next_offset``, and who was compared then."""
        if compared is not None:
            self._windows.compare(compared)
        for one in asked:
            self._windows.note(one)
        self._state.asked += asked
        self._state.asked_to = max(self._state.asked_to, next_offset)

    def answer(self, answered: Answered, answered_to: int, read_to: int) -> None:
        """Take what the champion answered; predictions are read up to ``read_to``."""
        state = self._state
        state.read_to = read_to
        if len(answered):
            news = self._news(answered)
            state.answered = state.answered.followed_by(news)
        state.answered_to = max(state.answered_to, answered_to)
        if state.passed is not None and read_to >= state.passed[0]:
            state.answered_to = max(state.answered_to, state.passed[1])
            state.passed = None

    def champion_passed(self, offset: int, predictions_end: int) -> None:
        """Take note that the champion had done every event below ``offset`` when its topic ended there.

        It tells where the champion is although it answered nothing: refused events leave no prediction.
        It counts once the predictions are read to that end.
        """
        state = self._state
        if offset > state.answered_to and state.passed is None:
            state.passed = (predictions_end, offset)
            self.answer(Answered.none(), 0, state.read_to)

    def _news(self, answered: Answered) -> Answered:
        """Return what has not been passed yet; the rest came a second time, or too late."""
        offsets = answered.offsets
        passed = np.maximum.accumulate(np.concatenate(([self._state.answered_to], offsets[:-1] + 1)))
        old = offsets < passed
        if not old.any():
            return answered
        self._state.again += zip(offsets[old].tolist(), answered.models[old].tolist(), strict=True)
        return answered.take(~old)

    def settle(self) -> None:
        """Count every event that both sides have gone past."""
        state = self._state
        bound = min(state.asked_to, state.answered_to)
        at = int(np.searchsorted(state.answered.offsets, bound))
        answered, state.answered = state.answered.take(slice(0, at)), state.answered.take(slice(at, None))
        waiting: list[Asked] = []
        for asked in state.asked:
            settled, rest = asked.split(bound)
            if settled is not None:
                self._count(settled, answered)
            if rest is not None:
                waiting.append(rest)
        state.asked = waiting
        self._note_in_force(answered)
        if state.again:
            self._count_again(bound)

    def _count(self, asked: Asked, answered: Answered) -> None:
        answered = self._of_model(asked.model, answered)
        where, found = joined(asked, answered)
        canary = found & (answered.canary[where] == 1) if len(answered) else found
        fallback = self._fallbacks(asked, answered, where, found)
        ok = asked.status == ANSWERED
        kinds = np.where(found, np.where(ok, 0, 1), np.where(ok, 2, 3))
        kinds[canary] = 4
        for offset in asked.offsets[~found].tolist():
            self._missing[offset] = None
        while len(self._missing) > _MISSING_KEPT:
            del self._missing[next(iter(self._missing))]
        champions = self._champions(asked, answered)
        starts = self._windows.starts(asked)
        rows = self._rows(asked, answered, where, found, kinds)
        for start, champion in dict.fromkeys(zip(starts.tolist(), champions.tolist(), strict=True)):
            name = NO_CHAMPION if champion == NOTHING else self._names.known[champion]
            if name == asked.version:
                self._superseded(
                    asked,
                    answered,
                    where,
                    starts,
                    found & (champions == champion) & ~canary & (starts == start),
                )
                continue  # it is champion itself: there is nobody to compare it with
            mask = (starts == start) & (champions == champion)
            chosen = rows if mask.all() else _chosen(rows, mask)
            cell = self._windows.cell(asked, name, start, int(chosen.offsets[0]))
            cell.count(chosen, self._names.known, self._partition)
            if fallback is not None:
                cell.fallbacks += int((mask & fallback).sum())

    def _fallbacks(self, asked: Asked, answered: Answered, where: Ints, found: Any) -> Any:
        """Return which events the candidate, as the canary, could not answer; None for none."""
        if not len(answered) or answered.canary.max() < FALLBACK:
            return None
        return found & (answered.canary[where] == FALLBACK + self._names.code(asked.version))

    def _superseded(self, asked: Asked, answered: Answered, where: Ints, starts: Ints, mask: Any) -> None:
        at = np.flatnonzero(mask)
        if len(at):
            first = int(at[0])
            answered_at = answered.scored_at[where[at]]
            self._windows.superseded(asked, int(starts[first]), int(asked.offsets[first]), answered_at)

    def _of_model(self, model: str, answered: Answered) -> Answered:
        code = self._names.code(model)
        mine = answered.models == code
        return answered if mine.all() else answered.take(mine)

    def _rows(
        self, asked: Asked, answered: Answered, where: Ints, found: Any, kinds: Ints
    ) -> Rows:  # fmt: skip
        if len(answered):
            scores, labels, scored_at = (
                answered.scores[where], answered.labels[where], answered.scored_at[where],
            )  # fmt: skip
        else:
            scores = np.full(len(asked), np.nan)
            labels = scored_at = np.full(len(asked), NOTHING)
        return Rows(
            asked.offsets,
            kinds,
            asked.status,
            scores,
            asked.scores,
            labels,
            asked.labels,
            (scored_at - asked.timestamps) / 1000,
            (asked.scored_at - asked.timestamps) / 1000,
            asked.occurred_at,
            asked.event_ids,
            asked.texts,
        )

    def _champions(self, asked: Asked, answered: Answered) -> Ints:
        """Return the code of the champion's version in force at each event."""
        before = self._state.in_force.get(asked.model)
        carried = NOTHING if before is None else self._names.code(before)
        served = answered.canary != 1
        champions = answered if served.all() else answered.take(served)
        if not len(champions):
            return np.full(len(asked), carried)
        at = np.searchsorted(champions.offsets, asked.offsets, side="right") - 1
        return np.where(at >= 0, champions.versions[np.maximum(at, 0)], carried)

    def _note_in_force(self, answered: Answered) -> None:
        champions = answered.take(answered.canary != 1)
        for model in np.unique(champions.models).tolist():
            last = champions.versions[champions.models == model][-1]
            self._state.in_force[self._names.known[model]] = self._names.known[last]

    def _count_again(self, bound: int) -> None:
        """Count what came a second time or too late, once its event is settled."""
        waiting = [one for one in self._state.again if one[0] >= bound]
        for offset, model in [one for one in self._state.again if one[0] < bound]:
            late = offset in self._missing
            self._missing.pop(offset, None)
            self._windows.count_again(self._names.known[model], offset, late=late)
        self._state.again = waiting

    def time(self, asker: Key, champion: Spent, candidate: Spent) -> None:
        """Add what the two models spent on the same micro-batch; told with the next report."""
        self._windows.time(asker, champion, candidate)

    def due(
        self,
        now: int,
        sample_percent: float,
        troubles: Mapping[tuple[str, str], str],
        waiting_seconds: float = 0.0,
    ) -> Iterator[ShadowReport]:
        """Yield a report per window that changed since the last call or is closed; the latter go.

        Parameters
        ----------
        waiting_seconds
            For how long the first event that waits for the champion has done so.
        """
        waiting = {asked.key: asked for asked in reversed(self._state.asked)}
        if waiting_seconds > 0:
            for asked in waiting.values():
                self._windows.await_champion(asked)
        yield from self._windows.due(
            troubles,
            dict.fromkeys(waiting, waiting_seconds),
            source_topic=self._topic,
            partition=self._partition,
            next_offset=min(self.asked_to, self.answered_to),
            written_at=now,
            sample_percent=sample_percent,
        )


def _chosen(rows: Rows, mask: Any) -> Rows:
    at = np.flatnonzero(mask)
    arrays = {
        name: getattr(rows, name)[at]
        for name in Rows.__struct_fields__
        if name not in ("event_ids", "segments")
    }
    texts = {name: found.take(at) for name, found in rows.segments.items()}
    return Rows(**arrays, event_ids=[rows.event_ids[row] for row in at.tolist()], segments=texts)
