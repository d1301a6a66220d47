"""What the shadow found, read from the reports and the registry: every comparison of a model's versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.cli.connection import Connection
from services.cli.report_reading import all_reports
from services.cli.shadow_answers import Answers
from shared.bundle.gates import GatesSpec, Metric, metric_of
from shared.bundle.read import read_spec
from shared.bundle.spec import ModelSpec
from shared.errors import RegistryError, ServiceError
from shared.messages import Comparison as Answered
from shared.messages import DecisionReport, ServiceReport, ShadowReport
from shared.promotion import Evidence, Gathered, Pair, Verdict
from shared.promotion.evidence import Sums, pair_of
from shared.promotion.judge import HISTORY, gates_in_force, verdict
from shared.promotion.measure import Measured, measure_pairs
from shared.promotion.rule import hold
from shared.promotion.serving import Serving
from shared.promotion.standing import Comparison, Standing, standing
from shared.registry import CanaryShare, HistoryEntry, Registry
from shared.sequential import PairedSums

Key = tuple[str, int, int, int]
_OF_WINDOW: Final = (
    "comparison", "errors", "difference", "champion_scores", "candidate_scores",
    "champion_latency", "candidate_latency",
)  # fmt: skip


@dataclass(slots=True)
class Series:
    """What is kept of every window, so that it can be seen how it came about.

    Attributes
    ----------
    answers
        Counts of the events, by source topic, partition, start and end of the window; no segments.
    labels
        Paired differences of the metric likewise.
    """

    answers: dict[Key, Sums] = field(default_factory=dict)
    labels: dict[Key, PairedSums] = field(default_factory=dict)
    _ages: dict[Key, tuple[int, bool, int]] = field(default_factory=dict)

    def take(self, report: ShadowReport, metric: Metric) -> None:
        """Keep the newest report of every window and partition."""
        key = (report.source_topic, report.partition, report.window.start, report.window.end)
        age = (report.next_offset, report.final, report.written_at)
        if age <= self._ages.get(key, (-1, False, 0)):
            return
        self._ages[key] = age
        if report.comparison != Answered():
            kept: dict[str, Any] = {name: getattr(report, name) for name in _OF_WINDOW}
            self.answers[key] = Sums(**kept)
        if report.judged.pairs and metric != "none":
            self.labels[key] = paired_sums(report, metric)


def paired_sums(report: ShadowReport, metric: Metric) -> PairedSums:
    """Return a window's paired differences; of an area, which has none, those of the Brier score."""
    judged = report.judged
    if metric == "win_rate":
        return PairedSums(
            judged.pairs, float(judged.wins - judged.losses), float(judged.wins + judged.losses)
        )
    name = {"accuracy": "correct", "auc": "brier"}.get(metric, metric)
    kept = getattr(judged, name)
    return PairedSums(kept.n, kept.total, kept.squares)


@dataclass(frozen=True, slots=True)
class Compared:
    """One candidate against one champion.

    Attributes
    ----------
    role
        ``candidate``; ``probation``, the old champion after a promotion; or ``former``.
    verdict
        What the gates in force say, or None where there are none.
    canary
        The share of the traffic that the candidate answers, if it does.
    hold
        By which change a person has stopped the rule.
    """

    pair: Pair
    role: str
    evidence: Evidence
    series: Series
    spec: ModelSpec
    gates: GatesSpec | None
    verdict: Verdict | None
    comparison: Comparison | None
    canary: CanaryShare | None = None
    hold: HistoryEntry | None = None

    @property
    def answers(self) -> Answers:
        """What the two answered, in figures."""
        return Answers.of(self.evidence.sums)

    @property
    def metric(self) -> Metric:
        """The metric of the gates, or the task's own."""
        return metric_of(self.gates or GatesSpec(), self.spec.task)

    def measured(self, metric: Metric) -> Measured:
        """Return the candidate's advantage over all labelled pairs."""
        alpha = (self.gates or GatesSpec()).alpha
        return measure_pairs(self.evidence.sums.judged, metric, alpha)


@dataclass(frozen=True, slots=True)
class Shadow:
    """All comparisons of a model, the present ones in front, and what was decided, newest first."""

    model: str
    standing: Standing
    compared: list[Compared]
    decisions: list[DecisionReport]

    def of_candidate(self, version: str) -> Compared:
        """Return the present comparison of a candidate, which may have no report yet."""
        return next(one for one in self.compared if one.pair.candidate == version and one.role != "former")

    def of(self, version: str) -> Compared:
        """Return the newest comparison of a candidate.

        Raises
        ------
        ServiceError
            There is no report of it.
        """
        for one in self.compared:
            if one.pair.candidate == version:
                return one
        known = ", ".join(dict.fromkeys(one.pair.candidate for one in self.compared))
        raise ServiceError(
            f"no report compares version {version} of {self.model} with a champion"
            + (f"; there are reports of {known}" if known else "; is the shadow service running?")
        )


async def read_shadow(connection: Connection, registry: Registry, model: str) -> Shadow:
    """Return every comparison of a model's versions.

    Raises
    ------
    ServiceError
        The registry does not know the model or a bundle in it cannot be read, or the broker has no reports.
    """
    pointers = await registry.pointers(model)
    if pointers.revision == 0:
        raise RegistryError(f"the registry does not know the model {model}: `driftline models list`")
    stands = standing(pointers)
    history = await registry.history(model, HISTORY)
    specs: dict[tuple[str, str], ModelSpec] = {}
    in_force = None if pointers.champion is None else await gates_in_force(registry, stands, specs)
    spec = in_force[0] if in_force else await _any_spec(registry, stands)
    gates = in_force[1] if in_force else None
    gathered, serving = Gathered(), Serving()
    series: dict[tuple[Pair, int], Series] = {}
    decisions = []
    metric = metric_of(gates or GatesSpec(), spec.task)
    async for report in all_reports(connection):
        if isinstance(report, DecisionReport) and report.model == model:
            decisions.append(report)
        elif isinstance(report, ServiceReport):
            serving.take(report)
        elif isinstance(report, ShadowReport) and report.model == model:
            gathered.take(report)
            series.setdefault((pair_of(report), report.basis), Series()).take(report, metric)
    compared = [
        _compared(pair, stands, gathered, series, spec, gates, history, serving)
        for pair in _ordered(stands, gathered)
    ]
    told = {decision.revision: decision for decision in decisions}
    return Shadow(model, stands, compared, sorted(told.values(), key=lambda d: -d.revision))


def _ordered(stands: Standing, gathered: Gathered) -> list[Pair]:
    """Return the present comparisons, then the former ones, newest first."""
    present = [comparison.pair for comparison in stands.comparisons]
    former = [
        pair for pair in gathered.pairs() if pair.model == stands.pointers.model and pair not in present
    ]
    return present + sorted(former, key=lambda pair: -gathered.evidence(pair).written_at)


def _compared(
    pair: Pair,
    stands: Standing,
    gathered: Gathered,
    series: Mapping[tuple[Pair, int], Series],
    spec: ModelSpec,
    gates: GatesSpec | None,
    history: Sequence[HistoryEntry],
    serving: Serving,
) -> Compared:
    comparison = next((c for c in stands.comparisons if c.pair == pair), None)
    in_probation = stands.probation is not None and stands.probation.pair == pair
    role = "former" if comparison is None else "probation" if in_probation else "candidate"
    basis = gathered.newest(pair) if comparison is None else comparison.basis
    evidence = gathered.evidence(pair, basis)
    found = None if gates is None else verdict(stands, evidence, spec, gates, serving)
    canary = stands.pointers.canary
    return Compared(
        pair,
        role,
        evidence,
        series.get((pair, basis), Series()),
        spec,
        gates,
        found,
        comparison,
        canary if canary is not None and canary.version == pair.candidate and comparison else None,
        None if comparison is None else hold(comparison, history),
    )


async def _any_spec(registry: Registry, stands: Standing) -> ModelSpec:
    """Return a contract of the model: the champion's, else a candidate's."""
    pointers = stands.pointers
    for version in filter(None, (pointers.champion, *pointers.candidates)):
        return read_spec(await registry.fetch(pointers.model, version))
    raise RegistryError(f"{pointers.model} has neither champion nor candidate")
