"""The open windows of one partition, and what answers, labels and outcomes change in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.performance.cells import WindowCells
from services.performance.events import OpenEvent
from services.performance.facts import Facts, Version
from services.performance.packets import Answered
from services.performance.tally import Tally
from services.performance.telling import FactsOf, effective
from services.performance.worth import Worth


class Windows:
    """Windows by model, version and start; changes are noted first and counted all at once.

    Attributes
    ----------
    facts
        Of every version met in this partition.
    offset
        Log offset of the packet that is applied.
    tally
        Where answers and labels of the version met last are noted.
    """

    def __init__(self, facts_of: FactsOf, facts: Iterable[Facts], windows: Iterable[WindowCells]) -> None:
        self._facts_of = facts_of
        self.facts: dict[Version, Facts] = {(f.model, f.version): f for f in facts}
        self.open: dict[tuple[str, str, int], WindowCells] = {}
        self.offset = 0
        self.tally = Tally()
        self._tallies: dict[Version, Tally] = {}
        self._worth = Worth()
        self._ended: set[tuple[str, str, int]] = set()
        self._starts: dict[Version, dict[int, WindowCells]] = {}
        self._model = self._version = ""
        self._last: Facts | None = None
        self._last_starts: dict[int, WindowCells] = {}
        for window in windows:
            self._add(window)

    def __len__(self) -> int:
        """Return how many changes are noted and not counted."""
        return sum(map(len, self._tallies.values())) + len(self._worth)

    def _add(self, window: WindowCells) -> None:
        self.open[window.key] = window
        self._starts.setdefault(window.version, {})[window.start] = window

    def met(self, model: str, version: str) -> Facts:
        """Return the facts of a version, and remember that it was met here."""
        facts = self._last
        if facts is None or version != self._version or model != self._model:  # mostly the one before
            facts = self.facts.get((model, version))
            if facts is None:
                facts = self.facts[model, version] = self._facts_of(model, version)
            self._model, self._version, self._last = model, version, facts
            self.tally = self._tallies.setdefault((model, version), Tally())
            self._last_starts = self._starts.setdefault((model, version), {})
        return facts

    def of(self, answer: Answered) -> WindowCells:
        """Return the window that an answer is counted in."""
        return self.near(self.met(answer.model, answer.version), answer.occurred_at)

    def near(self, facts: Facts, occurred_at: int) -> WindowCells:
        """Return the window of an event time, of the version that was met last."""
        start = occurred_at - occurred_at % facts.window
        window = self._last_starts.get(start)
        return window if window is not None else self.at(facts, start)

    def at(self, facts: Facts, start: int) -> WindowCells:
        """Return the window of a version that begins then."""
        window = self.open.get((facts.model, facts.version, start))
        if window is None:
            window = WindowCells(facts, start, self.offset)
            self._add(window)
        return window

    def label(
        self,
        window: WindowCells,
        answer: Answered,
        truth: str | float | None,
        outcomes: Mapping[str, float] | None,
        sign: int,
    ) -> None:
        """Count the label of an answer, with all that is known beside it, or take it back.

        The window is the one found last.
        """
        if truth is not None:
            self.tally.label(window, answer, truth, sign)
        if window.facts.kpis:
            self._worth.note(window, answer, truth, outcomes, sign)

    def worth_of(self, window: WindowCells, answer: Answered, truth: str | float) -> None:
        """Count the KPIs of an answer that nothing but its label is known of, in place of those without."""
        self._worth.note(window, answer, None, None, -1)
        self._worth.note(window, answer, truth, None, 1)

    def event(self, event: OpenEvent, answer: Answered, sign: int) -> None:
        """Count one of an event's answers with all that is known of it, or take it back."""
        window = self.of(answer)
        self.tally.answer(window, answer, sign)
        self.label(window, answer, effective(event, answer, window.facts), event.outcomes, sign)

    def labels(self, event: OpenEvent, sign: int) -> None:
        """Count the label of every answer of an event, or take it back."""
        for answer in event.answers:
            window = self.of(answer)
            self.label(window, answer, effective(event, answer, window.facts), event.outcomes, sign)

    def worth(self, event: OpenEvent, sign: int, *, final: bool = False) -> None:
        """Count the KPIs of every answer of an event, or take them back."""
        for answer in event.answers:
            window = self.of(answer)
            truth = effective(event, answer, window.facts)
            self._worth.note(window, answer, truth, event.outcomes, sign, final=final)

    def fill_missing(
        self,
        window: WindowCells,
        answer: Answered,
        truth: str | float | None,
        outcomes: Mapping[str, float] | None,
    ) -> None:
        """Count the KPIs of an answer whose horizon has passed: a missing outcome counts as declared."""
        self._worth.note(window, answer, truth, outcomes, -1)
        self._worth.note(window, answer, truth, outcomes, 1, final=True)

    def note(self, answers: Iterable[Answered], what: str) -> None:
        """Count what became of a label, for every answer of its event."""
        for answer in answers:
            window = self.of(answer)
            window.counts[what] += 1
            window.touch()

    def late(self, facts: Facts, moment: int) -> None:
        """Count an answer whose window is final already, in the window of now."""
        window = self.at(facts, facts.window_of(moment))
        window.late += 1
        window.touch()

    def settle(self) -> None:
        """Count what has been noted: the open windows are right only after this."""
        for tally in self._tallies.values():
            tally.count()
        self._worth.count()

    def end(self, moment: int) -> list[WindowCells]:
        """Close the windows whose answers are all done with by then; return them."""
        over = [window for window in self.open.values() if window.due <= moment]
        if over:
            self.settle()
        for window in over:
            del self.open[window.key]
            del self._starts[window.version][window.start]
            self._ended.add(window.key)
        return over

    def changes(self, prefix: str) -> tuple[list[bytes], list[bytes | None]]:
        """Return keys and values of the state records of what has changed since the last call."""
        keys: list[bytes] = []
        values: list[bytes | None] = []
        for key in sorted(self._ended - self.open.keys()):
            keys.append(_key(prefix, key))
            values.append(None)
        for window in self.open.values():
            if window.dirty:
                window.dirty = False
                keys.append(_key(prefix, window.key))
                values.append(window.pack())
        self._ended.clear()
        return keys, values


def _key(prefix: str, key: tuple[str, str, int]) -> bytes:
    model, version, start = key
    return f"{prefix}/window/{model}/{version}/{start}".encode()
