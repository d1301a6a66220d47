"""The newest reading of everything, by what it is about; bounded whatever comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from shared.alerting.readers import KINDS, VOCABULARIES
from shared.alerting.states import Reading
from shared.alerting.vocabulary import Labels, Part, Vocabulary, merge
from shared.messages import Report, ServiceReport
from shared.reports import key_of, kind_of

Cell = tuple[str, str, str]
"""Kind of report, model or service, version (and champion) or instance."""

MOST_CELLS: Final = 5_000
"""Models' versions and processes that are watched at once; the one silent for longest goes first."""

WINDOWS: Final = 3
"""Newest windows kept of each."""

POOLED_WINDOWS: Final = 500
"""The same where all windows are taken together."""

MISSED: Final = 3
"""So many reports of a process must be missed, whatever a rule says, before it is gone."""

MOST_PARTS: Final = 2_000
"""Things one report may speak of."""


def read(report: Report | ServiceReport) -> Reading | None:
    """Return what is kept of a report, ``None`` of a kind that no rule can read."""
    kind = kind_of(report)
    if kind not in KINDS:
        return None
    if isinstance(report, ServiceReport):
        age = (report.written_at, report.stopping, report.started_at)
    else:
        age = (report.next_offset, report.final, report.written_at)
    parts = {name: VOCABULARIES[name].read(report)[:MOST_PARTS] for name in KINDS[kind]}
    interval = report.interval if isinstance(report, ServiceReport) else 0
    return Reading(key_of(report), age, report.written_at, parts, interval)


class Readings:
    """Readings by cell and window.

    Examples
    --------
    >>> readings = Readings()
    >>> readings.take(Reading(("inference", "m", "1", 0, "events", 0), (5, False, 9), 9, {}))
    True
    >>> readings.take(Reading(("inference", "m", "1", 0, "events", 0), (4, False, 8), 8, {}))
    False
    """

    def __init__(self) -> None:
        self._cells: dict[Cell, dict[int, dict[Any, Reading]]] = {}
        self._seen: dict[Cell, int] = {}
        self._versions: dict[tuple[str, str], set[Cell]] = {}
        self.gone: list[Reading] = []
        """Readings dropped since the caller last emptied this."""

    def __len__(self) -> int:
        return len(self._cells)

    def take(self, reading: Reading) -> bool:
        """Keep a reading; return whether it counts: it is no older than what is known of its key."""
        cell, window = _cell(reading), reading.key[3]
        windows = self._cells.setdefault(cell, {})
        most = POOLED_WINDOWS if reading.key[0] == "shadow" else WINDOWS
        if window not in windows and len(windows) >= most and window < min(windows):
            return False  # of a window that is past: a replay, or a partition far behind
        known = windows.setdefault(window, {}).get(reading.key)
        if known is not None and tuple(known.age) > tuple(reading.age):
            return False
        windows[window][reading.key] = reading
        self._versions.setdefault(cell[:2], set()).add(cell)
        self._seen.pop(cell, None)
        self._seen[cell] = reading.written_at  # to the end: the order is that of the last report
        while len(windows) > most:
            self.gone += windows.pop(min(windows)).values()
        return True

    def crowded(self) -> list[Cell]:
        """Return the cells to forget because there are too many: those reported on longest ago."""
        return list(self._seen)[: max(0, len(self._seen) - MOST_CELLS)]

    def superseded(self, reading: Reading, after: int) -> list[Cell]:
        """Return the other versions of a reading's model that answer no more, as it seems.

        They are in no window as new as this one, and nothing was written of them for ``after``
        milliseconds before it. Of the shadow: the earlier comparisons of the same two versions.
        """
        kind, name, subject = reading.key[:3]
        if kind == "shadow":
            two, _, basis = subject.rpartition(" since ")
            others = [(cell, cell[2].rpartition(" since ")) for cell in self._versions.get((kind, name), ())]
            return [cell for cell, of in others if of[0] == two and int(of[2]) < int(basis)]
        if kind not in ("inference", "drift"):
            return []
        return [
            cell
            for cell in self._versions.get((kind, name), ())
            if cell[2] != subject
            and self._seen[cell] < reading.written_at - after
            and max(self._cells[cell]) < reading.key[3]
        ]

    def siblings(self, cell: Cell) -> list[Cell]:
        """Return the other versions of a model, or processes of a service."""
        return [other for other in self._versions.get(cell[:2], ()) if other != cell]

    def outlived(self, cell: Cell) -> bool:
        """Return whether a process has missed three reports while another of its service went on."""
        if cell[0] != "service":
            return False
        newest = max(self._seen[other] for other in self._versions[cell[:2]])
        return newest - self._seen[cell] > MISSED * self.interval(cell)

    def interval(self, cell: Cell) -> int:
        """Return how often a process reports, milliseconds; 0 of what is no process."""
        return max((reading.interval for reading in self.of(cell)), default=0)

    def silent_since(self, moment: int) -> list[tuple[Cell, int]]:
        """Return the cells of which nothing was written since ``moment``, and when anything was."""
        return [(cell, seen) for cell, seen in self._seen.items() if seen < moment]

    def forget(self, cell: Cell) -> list[Reading]:
        """Drop a cell; return what was known of it."""
        self._seen.pop(cell, None)
        self._versions.get(cell[:2], set()).discard(cell)
        if not self._versions.get(cell[:2], True):
            del self._versions[cell[:2]]
        windows = self._cells.pop(cell, {})
        dropped = [reading for window in windows.values() for reading in window.values()]
        self.gone += dropped
        return dropped

    def cells(self) -> Iterator[tuple[Cell, int]]:
        """Yield every cell and when it was last reported on."""
        yield from self._seen.items()

    def of(self, cell: Cell) -> list[Reading]:
        """Return the readings of a cell."""
        return [reading for window in self._cells.get(cell, {}).values() for reading in window.values()]

    def things(self, cell: Cell, vocabulary: Vocabulary) -> dict[Labels, list[tuple[int, Part]]]:
        """Return the merged part of everything a cell speaks of, by window, the newest first; or pooled."""
        found: dict[Labels, dict[int, list[Part]]] = {}
        for window, readings in sorted(self._cells.get(cell, {}).items(), reverse=True):
            for reading in sorted(readings.values(), key=lambda reading: reading.written_at):
                for part in reading.parts.get(vocabulary.kind, ()):
                    found.setdefault(part.labels, {}).setdefault(window, []).append(part)
        if vocabulary.pooled:
            return {
                labels: [(next(iter(windows)), merge(part for w in reversed(windows) for part in windows[w]))]
                for labels, windows in found.items()
            }
        return {
            labels: [(window, merge(parts)) for window, parts in windows.items()]
            for labels, windows in found.items()
        }


def _cell(reading: Reading) -> Cell:
    return reading.key[:3]
