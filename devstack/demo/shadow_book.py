"""What the shadow and the gates report, read from the reports topic like anybody would."""

from __future__ import annotations

from collections import deque

from shared.messages import DecisionReport, ShadowReport
from shared.promotion import Evidence, Gathered
from shared.reports import AnyReport


class ShadowBook:
    """Comparisons and decisions so far.

    Attributes
    ----------
    decisions
        By the registry's revision, each once.
    news
        Sentences that nobody has been shown yet.
    """

    def __init__(self) -> None:
        self._gathered = Gathered()
        self.decisions: dict[int, DecisionReport] = {}
        self.news: deque[str] = deque()

    def take(self, report: AnyReport) -> None:
        """Note a report; other kinds are somebody else's."""
        if isinstance(report, ShadowReport):
            self._gathered.take(report)
        elif isinstance(report, DecisionReport) and report.revision not in self.decisions:
            self.decisions[report.revision] = report
            self.news.append(f"{report.model_version} {report.decision}: {_shortened(report.reason)}")

    def of(self, candidate: str, champion: str) -> Evidence | None:
        """Return what is known of a candidate against a champion; None before the first report."""
        for pair in self._gathered.pairs():
            if (pair.candidate, pair.champion) == (candidate, champion):
                return self._gathered.evidence(pair)
        return None

    def decided(self, kind: str) -> list[DecisionReport]:
        """Return the decisions of one kind, oldest first."""
        return [
            self.decisions[number]
            for number in sorted(self.decisions)
            if self.decisions[number].decision == kind
        ]

    def champion(self, first: str) -> str:
        """Return who is champion by what was told, beginning with the first one."""
        for number in sorted(self.decisions):
            told = self.decisions[number]
            if told.decision == "promoted":
                first = told.model_version
            elif told.decision == "rolled-back" and told.other_version is not None:
                first = told.other_version
        return first


def _shortened(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
