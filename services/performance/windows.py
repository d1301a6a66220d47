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
    offset
        Log offset of the packet that is applied.
    """

    def __init__(self, facts_of: FactsOf, facts: Iterable[Facts], windows: Iterable[WindowCells]) -> None:
        self.facts_of = facts_of
        self.facts: dict[Version, Facts] = {(f.model, f.version): f for f in facts}
        self.open: dict[tuple[str, str, int], WindowCells] = {w.key: w for w in windows}
        self.offset = 0
        self._tally, self._worth = Tally(), Worth()
        self._ended: set[tuple[str, str, int]] = set()

    def __len__(self) -> int:
        """Return how many changes are noted and not counted."""
        return len(self._tally) + len(self._worth)

    def met(self, model: str, version: str) -> Facts:
        """Return the facts of a version, and remember that it was met here."""
        facts = self.facts.get((model, version))
        if facts is None:
            facts = self.facts[model, version] = self.facts_of(model, version)
        return facts

    def of(self, answer: Answered) -> WindowCells:
        """Return the window that an answer is counted in."""
        model, version, at = answer.model, answer.version, answer.occurred_at
        facts = self.met(model, version)
        window = self.open.get((model, version, at - at % facts.window))
        return window if window is not None else self.at(facts, facts.window_of(at))

    def at(self, facts: Facts, start: int) -> WindowCells:
        """Return the window of a version that begins then."""
        window = self.open.get((facts.model, facts.version, start))
        if window is None:
            window = WindowCells(facts, start, self.offset)
            self.open[window.key] = window
        return window

    def answer(self, window: WindowCells, answer: Answered, sign: int = 1) -> None:
        """Count an answer of which nothing else is known yet, or take it back."""
        self._tally.answer(window, answer, sign)
        if window.facts.kpis:
            self._worth.note(window, answer, None, None, sign)

    def label(
        self,
        window: WindowCells,
        answer: Answered,
        truth: str | float | None,
        outcomes: Mapping[str, float] | None,
        sign: int,
    ) -> None:
        """Count the label of an answer, with all that is known beside it, or take it back."""
        if truth is not None:
            self._tally.label(window, answer, truth, sign)
        if window.facts.kpis:
            self._worth.note(window, answer, truth, outcomes, sign)

    def event(self, event: OpenEvent, answer: Answered, sign: int) -> None:
        """Count one of an event's answers with all that is known of it, or take it back."""
        window = self.of(answer)
        self._tally.answer(window, answer, sign)
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
        if window.facts.fills_missing:
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
        self._tally.count()
        self._worth.count()

    def end(self, moment: int) -> list[WindowCells]:
        """Close the windows whose answers are all done with by then; return them."""
        over = [window for window in self.open.values() if window.due <= moment]
        if over:
            self.settle()
        for window in over:
            del self.open[window.key]
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
