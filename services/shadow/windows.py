"""The windows of one partition: which one an event is counted in, and when one is reported and closed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec
import numpy as np

from services.shadow.cells import Cell
from services.shadow.sides import Asked, Ints
from shared.messages import ShadowReport

_CellKey = tuple[str, str, str, int]
_Candidate = tuple[str, str]


class Asker(msgspec.Struct):
    """A candidate that has been asked in this partition; ``watermark`` is the latest event time seen."""

    model: str
    version: str
    first_offset: int
    watermark: int = -1


class Windows:
    """The open windows of every candidate and champion.

    A window closes when the latest event time seen is a whole window past its end, as in inference; an
    event that comes later still is counted in the newest one.
    """

    def __init__(self, askers: Iterable[Asker], cells: Iterable[Cell]) -> None:
        self._askers = {(asker.model, asker.version): asker for asker in askers}
        self._cells: dict[_CellKey, Cell] = {(c.model, c.version, c.champion, c.start): c for c in cells}
        self._dirty: set[_CellKey] = set(self._cells)  # what was reported is not remembered
        self._timings: dict[_Candidate, tuple[int, float, float]] = {}

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def askers(self) -> list[Asker]:
        """Every candidate that was ever asked here."""
        return list(self._askers.values())

    @property
    def cells(self) -> list[Cell]:
        """The open windows' counts."""
        return list(self._cells.values())

    def note(self, asked: Asked) -> None:
        """Take note of a candidate that is asked for the first time."""
        key = (asked.model, asked.version)
        if key not in self._askers:
            self._askers[key] = Asker(asked.model, asked.version, int(asked.offsets[0]))

    def starts(self, asked: Asked) -> Ints:
        """Return the start of the window that each event is counted in, and move the watermark."""
        asker, window = self._askers[asked.model, asked.version], asked.window
        watermarks = np.maximum.accumulate(np.maximum(asked.occurred_at, asker.watermark))
        asker.watermark = int(watermarks[-1])
        newest = watermarks - watermarks % window
        times = np.where(
            asked.occurred_at >= 0, asked.occurred_at, np.where(watermarks >= 0, watermarks, asked.timestamps)
        )
        starts = times - times % window
        counted: Ints = np.where((watermarks >= 0) & (starts < newest - window), newest, starts)
        return counted

    def cell(self, asked: Asked, champion: str, start: int, offset: int) -> Cell:
        """Return the counts of a window, new ones where there are none."""
        key = (asked.model, asked.version, champion, start)
        self._dirty.add(key)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = Cell.empty(
                *key, asked.window, regression=asked.regression, offset=offset
            )
        return cell

    def count_again(self, model: str, offset: int, *, late: bool) -> None:
        """Count a prediction that came a second time or too late, in the newest window."""
        for asker in self._askers.values():
            cell = self._newest(asker) if asker.model == model else None
            if cell is not None and asker.first_offset <= offset:
                cell.late += late
                cell.repeated += not late

    def _newest(self, asker: Asker) -> Cell | None:
        keys = [key for key in self._cells if key[:2] == (asker.model, asker.version)]
        if not keys:
            return None
        key = max(keys, key=lambda key: (key[3], key[2]))
        self._dirty.add(key)
        return self._cells[key]

    def time(self, model: str, version: str, events: int, champion: float, candidate: float) -> None:
        """Add what the two models took for the same events, seconds; told with the next report."""
        former = self._timings.get((model, version), (0, 0.0, 0.0))
        self._timings[model, version] = (former[0] + events, former[1] + champion, former[2] + candidate)

    def _place_timings(self) -> None:
        """Put the timings into the newest windows; those of a pair that has none yet wait."""
        for key, (events, champion, candidate) in list(self._timings.items()):
            asker = self._askers.get(key)
            cell = None if asker is None else self._newest(asker)
            if cell is not None:
                cell.champion_timing = (cell.champion_timing[0] + events, cell.champion_timing[1] + champion)
                cell.candidate_timing = (
                    cell.candidate_timing[0] + events, cell.candidate_timing[1] + candidate,
                )  # fmt: skip
                del self._timings[key]

    def due(self, troubles: Mapping[_Candidate, str], **envelope: object) -> Iterator[ShadowReport]:
        """Yield a report per window that changed since the last call or is closed; the latter go.

        Parameters
        ----------
        troubles
            What is wrong with a candidate, by model and version.
        envelope
            What else the reports hold.
        """
        self._place_timings()
        for key in sorted(self._cells):
            cell = self._cells[key]
            asker = self._askers[key[:2]]
            final = cell.start < asker.watermark - asker.watermark % cell.window - cell.window
            if final:
                del self._cells[key]
            if final or key in self._dirty:
                yield cell.report(final=final, trouble=troubles.get(key[:2]), **envelope)
        self._dirty.clear()
