"""The windows of one partition: which one an event is counted in, and when one is reported and closed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

import msgspec
import numpy as np

from services.shadow.cells import Cell
from services.shadow.sides import Asked, Ints, Key, Spent
from shared.messages import ShadowReport

_CellKey = tuple[str, str, int, str, int]
"""Model, version, basis, champion and start of the window."""

_Candidate = tuple[str, str]
Compared = Mapping[str, Mapping[tuple[str, int], str | None]]
"""By model: version and basis of every candidate of the registry, and the champion it is held against."""


class Asker(msgspec.Struct):
    """A candidate asked in this partition, in one comparison.

    Attributes
    ----------
    watermark
        The latest event time seen.
    since
        When it was first asked, epoch milliseconds.
    firsts
        By champion: the first offset that was counted.
    """

    model: str
    version: str
    first_offset: int
    watermark: int = -1
    basis: int = 0
    since: int = 0
    firsts: dict[str, int] = {}

    @property
    def key(self) -> Key:
        """Who is asked, and in which comparison."""
        return self.model, self.version, self.basis


class Windows:
    """The open windows of every candidate and champion.

    A window closes when the latest event time seen is a whole window past its end, as in inference; an
    event that comes later still is counted in the newest one. A candidate that the registry names no more,
    or names in another comparison, sees no more event time: its windows close with its last answer.
    """

    def __init__(self, askers: Iterable[Asker], cells: Iterable[Cell]) -> None:
        self._askers = {asker.key: asker for asker in askers}
        self._cells: dict[_CellKey, Cell] = {
            (c.model, c.version, c.basis, c.champion, c.start): c for c in cells
        }
        self._dirty: set[_CellKey] = set(self._cells)  # what was reported is not remembered
        self._timings: dict[Key, tuple[Spent, Spent]] = {}
        self._compared: Compared = {}

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def askers(self) -> list[Asker]:
        """Every candidate that is asked here, or has windows open."""
        return list(self._askers.values())

    @property
    def cells(self) -> list[Cell]:
        """The open windows' counts."""
        return list(self._cells.values())

    def note(self, asked: Asked) -> None:
        """Take note of a candidate that is asked for the first time."""
        if asked.key not in self._askers:
            first = int(asked.offsets[0])
            since = int(asked.scored_at[0])
            self._askers[asked.key] = Asker(asked.model, asked.version, first, basis=asked.basis, since=since)

    def compare(self, compared: Compared) -> None:
        """Take note of who is compared from here on; models that are not named stay as they are."""
        self._compared = compared

    def _gone(self, key: Key, waiting: Collection[Key]) -> bool:
        """Return whether nothing can come any more for a candidate in a comparison."""
        named = self._compared.get(key[0])
        return named is not None and key[1:] not in named and key not in waiting

    def starts(self, asked: Asked) -> Ints:
        """Return the start of the window that each event is counted in, and move the watermark."""
        asker, window = self._askers[asked.key], asked.window
        watermarks = np.maximum.accumulate(np.maximum(asked.occurred_at, asker.watermark))
        asker.watermark = int(watermarks[-1])
        newest = watermarks - watermarks % window
        times = np.where(
            asked.occurred_at >= 0, asked.occurred_at, np.where(watermarks >= 0, watermarks, asked.timestamps)
        )
        starts = times - times % window
        counted: Ints = np.where((watermarks >= 0) & (starts < newest - window), newest, starts)
        return counted

    def crowned(self, asked: Asked) -> str | None:
        """Return the champion that a candidate is held against by the registry; None if that has moved on."""
        return self._compared.get(asked.model, {}).get((asked.version, asked.basis))

    def superseded(self, asked: Asked, start: int, offset: int, answered_at: Ints) -> None:
        """Count events that a candidate answered as the champion that it is no more by the registry."""
        crowned = self.crowned(asked)
        if crowned is None or crowned == asked.version:
            return
        cell = self.cell(asked, crowned, start, offset)
        late = (int(answered_at.max()) - self._askers[asked.key].since) / 1000
        cell.superseded += len(answered_at)
        cell.superseded_seconds = max(cell.superseded_seconds, late)

    def await_champion(self, asked: Asked) -> None:
        """Let there be a report that says how long a candidate's answers have waited."""
        crowned = self.crowned(asked)
        if crowned is not None:
            at = int(asked.occurred_at[0]) if asked.occurred_at[0] >= 0 else int(asked.timestamps[0])
            self.cell(asked, crowned, at - at % asked.window, int(asked.offsets[0]))

    def cell(self, asked: Asked, champion: str, start: int, offset: int) -> Cell:
        """Return the counts of a window, new ones where there are none."""
        key = (*asked.key, champion, start)
        self._dirty.add(key)
        self._askers[asked.key].firsts.setdefault(champion, offset)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Cell.empty(
                asked.model,
                asked.version,
                champion,
                start,
                asked.window,
                regression=asked.regression,
                offset=offset,
                basis=asked.basis,
            )
        return cell

    def count_again(self, model: str, offset: int, *, late: bool) -> None:
        """Count a prediction that came a second time or too late, in the newest window."""
        asked = [a for a in self._askers.values() if a.model == model and a.first_offset <= offset]
        last = {asker.version: asker for asker in sorted(asked, key=lambda asker: asker.basis)}
        for asker in last.values():
            cell = self._newest(asker.key)
            if cell is not None:
                cell.late += late
                cell.repeated += not late

    def _newest(self, asker: Key) -> Cell | None:
        keys = [key for key in self._cells if key[:3] == asker]
        if not keys:
            return None
        key = max(keys, key=lambda key: (key[4], key[3]))
        self._dirty.add(key)
        return self._cells[key]

    def time(self, asker: Key, champion: Spent, candidate: Spent) -> None:
        """Add what the two models spent on the same micro-batch; told with the next report."""
        former = self._timings.get(asker, (_NOTHING_SPENT, _NOTHING_SPENT))
        self._timings[asker] = (_spent(former[0], champion), _spent(former[1], candidate))

    def _place_timings(self) -> None:
        """Put the timings into the newest windows; those of a pair that has none yet wait."""
        for key, (champion, candidate) in list(self._timings.items()):
            cell = self._newest(key)
            if cell is not None:
                cell.champion_timing = _spent(cell.champion_timing, champion)
                cell.candidate_timing = _spent(cell.candidate_timing, candidate)
                del self._timings[key]

    def due(
        self, troubles: Mapping[_Candidate, str], waiting: Mapping[Key, float], **envelope: object
    ) -> Iterator[ShadowReport]:
        """Yield a report per window that changed since the last call or is closed; the latter go.

        Parameters
        ----------
        troubles
            What is wrong with a candidate, by model and version.
        waiting
            Whose answers wait for the champion, and for how many seconds nobody has answered the first of
            them: their windows are open still.
        envelope
            What else the reports hold.
        """
        self._place_timings()
        for key in sorted(self._cells):
            cell = self._cells[key]
            asker = self._askers[key[:3]]
            newest = asker.watermark // cell.window * cell.window
            final = cell.start < newest - cell.window or self._gone(key[:3], waiting)
            if final:
                del self._cells[key]
            if final or key in self._dirty:
                yield cell.report(
                    final=final,
                    began_at_offset=asker.firsts.get(cell.champion, -1),
                    trouble=troubles.get(key[:2]),
                    waiting_seconds=waiting.get(key[:3], 0.0),
                    **envelope,
                )
        self._dirty.clear()
        for gone in [key for key in self._askers if self._gone(key, waiting)]:
            del self._askers[gone]
            self._timings.pop(gone, None)


_NOTHING_SPENT: Final[Spent] = (0, 0.0)


def _spent(one: Spent, other: Spent) -> Spent:
    return one[0] + other[0], one[1] + other[1]
