"""The judge: reads the shadow's reports, asks the gates, and makes the one change that is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from shared.bundle.gates import GatesSpec
from shared.bundle.read import read_spec
from shared.bundle.spec import ModelSpec
from shared.errors import ProcessError, ServiceError
from shared.logs import get_logger
from shared.messages import DecisionReport, ServiceReport, ShadowReport
from shared.promotion.act import carry_out, decision_report
from shared.promotion.evidence import Evidence, Gathered
from shared.promotion.gates import judge_candidate, judge_probation
from shared.promotion.rule import hold, next_act
from shared.promotion.serving import CanaryNow, Serving
from shared.promotion.standing import Standing, standing
from shared.promotion.verdict import Verdict
from shared.registry import HistoryEntry, Registry
from shared.registry.order import now_ms
from shared.reports import AnyReport, report_record, trace_begun
from shared.tracing import within

log = get_logger(__name__)

INTERVAL: Final = 2.0
TOLD_WITHIN: Final = 86_400_000
"""Milliseconds: what was decided before is not told again where the topic has forgotten it."""
HISTORY: Final = 200
"""Changes that are looked at each time: what nobody has told yet, and what people did to a canary."""


class Reports(Protocol):
    """Where reports come from and decisions go to: :class:`shared.promotion.following.ReportsTopic`."""

    async def read_to_end(self, take: ReportTaker) -> None:
        """Hand over every report since the last reading."""

    async def write(self, report: DecisionReport) -> None:
        """Write a decision."""


class ReportTaker(Protocol):
    """Takes one report."""

    def __call__(self, report: AnyReport, /) -> None:
        """Take it."""


class Judge:
    """Judges the candidates of a registry by their gates, again and again.

    Any number may run at once, and any of them may be killed at any moment: a change is bound to the
    revision that was judged and to the decision's id, and what was decided is told from the registry's
    history, so that a judge finds out what another one did, or itself before it was killed.

    Parameters
    ----------
    registry
        The registry.
    reports
        The reports topic.
    models
        Which models to judge; none given means every model that the registry knows.
    interval
        Seconds between two looks.
    clock
        Returns epoch milliseconds.
    """

    def __init__(
        self,
        registry: Registry,
        reports: Reports,
        *,
        models: Collection[str] = (),
        interval: float = INTERVAL,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._registry = registry
        self._reports = reports
        self._models = models
        self._interval = interval
        self._clock = clock
        self._gathered = Gathered()
        self._serving = Serving()
        self._told: set[tuple[str, int]] = set()
        self._specs: dict[tuple[str, str], ModelSpec] = {}
        self._trouble: str | None = None

    async def run(self) -> None:
        """Judge for ever; what is away is waited for, and a mistake in one round is logged."""
        while True:
            try:
                await self.turn()
                self._say(None)
            except ServiceError as error:
                self._say(str(error))
            await asyncio.sleep(self._interval)

    async def turn(self) -> list[HistoryEntry]:
        """Read, judge every model, act and tell; returns the changes made or found made.

        1. Ask the registry where every model stands.
        2. Read the reports to their end.
        3. Judge, and carry out what is due.
        4. Tell what the history says was decided and the topic does not say yet.

        Raises
        ------
        ServiceError
            Redis or the broker is away, or the model has changed meanwhile; a later turn goes on.
        """
        names = self._models or await self._registry.models()
        histories = {name: await self._registry.history(name, HISTORY) for name in names}
        standings = {name: standing(await self._registry.pointers(name)) for name in names}
        await self._reports.read_to_end(self._take)
        made: list[HistoryEntry] = []
        troubles: list[ServiceError] = []
        for name, stands in standings.items():
            try:
                entry = await self._judge(stands, histories[name])
            except ServiceError as error:  # one model's trouble is not another's
                troubles.append(error)
                continue
            except ValueError as error:
                troubles.append(ProcessError(f"{name} cannot be judged: {error}"))
                continue
            if entry is not None:
                made.append(entry)
                histories[name] = (entry, *histories[name])
        for history in histories.values():
            await self._tell(history)
        if troubles:
            raise troubles[0]
        return made

    def _take(self, report: AnyReport) -> None:
        if isinstance(report, ShadowReport):
            self._gathered.take(report)
        elif isinstance(report, ServiceReport):
            self._serving.take(report)
        elif isinstance(report, DecisionReport):
            self._told.add((report.model, report.revision))

    async def _judge(self, stands: Standing, history: Sequence[HistoryEntry]) -> HistoryEntry | None:
        if not stands.comparisons:
            return None
        found = await self._gates(stands)
        if found is None:
            return None
        spec, gates = found
        evidence = {c.pair: self._gathered.evidence(c.pair, c.basis) for c in stands.comparisons}
        verdicts = {pair: self._verdict(stands, e, spec, gates) for pair, e in evidence.items()}
        held = [c.pair for c in stands.comparisons if hold(c, history) is not None]
        act = next_act(stands, verdicts, evidence, gates, held)
        if act is None:
            return None
        entry = await carry_out(self._registry, act, stands)
        told = decision_report(entry)
        with within(None if told is None else trace_begun(report_record(told)[1])):  # as its report's
            log.info(
                "the gates decided",
                decision=act.kind,
                model=act.model,
                model_version=act.version,
                revision=entry.revision,
                reason=entry.why,
            )
        return entry

    def _verdict(self, stands: Standing, evidence: Evidence, spec: ModelSpec, gates: GatesSpec) -> Verdict:
        return verdict(stands, evidence, spec, gates, self._serving)

    async def _gates(self, stands: Standing) -> tuple[ModelSpec, GatesSpec] | None:
        return await gates_in_force(self._registry, stands, self._specs)

    async def _tell(self, history: Collection[HistoryEntry]) -> None:
        oldest = self._clock() - TOLD_WITHIN
        for entry in reversed(list(history)):
            if (entry.model, entry.revision) in self._told or entry.at < oldest:
                continue
            report = decision_report(entry)
            if report is not None:
                await self._reports.write(report)
            self._told.add((entry.model, entry.revision))

    def _say(self, trouble: str | None) -> None:
        """Log trouble when it begins, changes and ends, not at every turn."""
        if trouble != self._trouble:
            if trouble is not None:
                log.warning("nothing is judged now", reason=trouble)
            else:
                log.info("judging again")
            self._trouble = trouble


def verdict(
    stands: Standing, evidence: Evidence, spec: ModelSpec, gates: GatesSpec, serving: Serving
) -> Verdict:
    """Return what the gates say of one comparison, whichever of the two kinds it is.

    Parameters
    ----------
    serving
        What the inference processes say of themselves.
    """
    pair, canary = evidence.pair, stands.pointers.canary
    if stands.probation is not None and pair == stands.probation.pair:
        return judge_probation(evidence, spec, gates)
    if canary is None or canary.version != pair.candidate:
        return judge_candidate(evidence, spec, gates)
    missing = serving.not_loaded(pair.model, pair.candidate)
    return judge_candidate(evidence, spec, gates, CanaryNow(canary.percent, missing))


async def gates_in_force(
    registry: Registry, stands: Standing, specs: dict[tuple[str, str], ModelSpec]
) -> tuple[ModelSpec, GatesSpec] | None:
    """Return the contract and the gates by which a model's candidates are judged; None for no gates.

    They are the champion's, so that no candidate brings its own. In a probation they are those of the old
    champion, by which the new one was promoted. A champion without gates leaves it to the candidate that
    came first, so that gates can be introduced at all.

    Parameters
    ----------
    specs
        Contracts read before, by model and version; added to.
    """
    champion = stands.pointers.champion
    assert champion is not None
    order = [champion, *stands.pointers.candidates]
    if stands.probation is not None:
        order.insert(0, stands.probation.pair.candidate)
    for version in order:
        spec = await _spec(registry, stands.pointers.model, version, specs)
        if spec.gates is not None:
            return spec, spec.gates
    return None


async def _spec(
    registry: Registry, model: str, version: str, specs: dict[tuple[str, str], ModelSpec]
) -> ModelSpec:
    if (model, version) not in specs:
        path = await registry.fetch(model, version)
        specs[model, version] = await asyncio.to_thread(read_spec, path)
    return specs[model, version]
