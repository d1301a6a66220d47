"""The judge: reads the shadow's reports, asks the gates, and makes the one change that is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Final, Protocol

from shared.bundle.gates import GatesSpec
from shared.bundle.read import read_spec
from shared.bundle.spec import ModelSpec
from shared.errors import ServiceError
from shared.logs import get_logger
from shared.messages import DecisionReport, ShadowReport
from shared.promotion.act import carry_out, decision_report
from shared.promotion.evidence import Evidence, Gathered
from shared.promotion.gates import judge_candidate, judge_probation
from shared.promotion.rule import next_act
from shared.promotion.standing import Standing, standing_of
from shared.promotion.verdict import Verdict
from shared.registry import HistoryEntry, Registry
from shared.registry.order import now_ms
from shared.reports import AnyReport

log = get_logger(__name__)

INTERVAL: Final = 2.0
TOLD_WITHIN: Final = 86_400_000
"""Milliseconds: what was decided before is not told again where the topic has forgotten it."""
HISTORY: Final = 200
"""Changes that are looked at each time; a comparison older than these counts all of its reports."""


class Reports(Protocol):
    """Where reports come from and decisions go to: :class:`shared.promotion.following.ReportsTopic`."""

    async def read_to_end(self, take: ReportTaker) -> None:
        """Hand over every report since the last reading."""

    async def from_the_beginning(self) -> None:
        """Let the next reading begin at the beginning."""

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
            except ValueError as error:  # reports of two releases whose histograms differ, for one
                self._say(f"the reports cannot be judged: {error}")
            await asyncio.sleep(self._interval)

    async def turn(self) -> list[HistoryEntry]:
        """Read, judge every model, act and tell; returns the changes made or found made.

        1. Ask the registry where every model stands.
        2. Read the reports to their end; from the beginning again where a comparison began anew.
        3. Judge, and carry out what is due.
        4. Tell what the history says was decided and the topic does not say yet.

        Raises
        ------
        ServiceError
            Redis or the broker is away, or the model has changed meanwhile; a later turn goes on.
        """
        names = self._models or await self._registry.models()
        histories = {name: await self._registry.history(name, HISTORY) for name in names}
        standings = {
            name: standing_of(await self._registry.pointers(name), histories[name]) for name in names
        }
        await self._read(standings.values())
        made: list[HistoryEntry] = []
        troubles: list[ServiceError] = []
        for name, standing in standings.items():
            try:
                entry = await self._judge(standing)
            except ServiceError as error:  # one model's trouble is not another's
                troubles.append(error)
                continue
            if entry is not None:
                made.append(entry)
                histories[name] = (entry, *histories[name])
        for history in histories.values():
            await self._tell(history)
        if troubles:
            raise troubles[0]
        return made

    async def _read(self, standings: Collection[Standing]) -> None:
        began = {c.pair: c.began_at for s in standings for c in s.comparisons}
        if self._gathered.begin(began):  # the same two versions were compared before
            self._gathered = Gathered(self._gathered.began)
            await self._reports.from_the_beginning()
        await self._reports.read_to_end(self._take)

    def _take(self, report: AnyReport) -> None:
        if isinstance(report, ShadowReport):
            self._gathered.take(report)
        elif isinstance(report, DecisionReport):
            self._told.add((report.model, report.revision))

    async def _judge(self, standing: Standing) -> HistoryEntry | None:
        if not standing.comparisons:
            return None
        found = await self._gates(standing)
        if found is None:
            return None
        spec, gates = found
        evidence = {c.pair: self._gathered.evidence(c.pair) for c in standing.comparisons}
        verdicts = {pair: self._verdict(standing, e, spec, gates) for pair, e in evidence.items()}
        act = next_act(standing, verdicts, evidence, gates)
        if act is None:
            return None
        entry = await carry_out(self._registry, act, standing)
        log.info(
            "the gates decided",
            decision=act.kind,
            model=act.model,
            version=act.version,
            revision=entry.revision,
            reason=entry.why,
        )
        return entry

    def _verdict(self, standing: Standing, evidence: Evidence, spec: ModelSpec, gates: GatesSpec) -> Verdict:
        probation = standing.probation is not None and evidence.pair == standing.probation.pair
        return (judge_probation if probation else judge_candidate)(evidence, spec, gates)

    async def _gates(self, standing: Standing) -> tuple[ModelSpec, GatesSpec] | None:
        return await gates_in_force(self._registry, standing, self._specs)

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


async def gates_in_force(
    registry: Registry, standing: Standing, specs: dict[tuple[str, str], ModelSpec]
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
    champion = standing.pointers.champion
    assert champion is not None
    order = [champion, *standing.pointers.candidates]
    if standing.probation is not None:
        order.insert(0, standing.probation.pair.candidate)
    for version in order:
        spec = await _spec(registry, standing.pointers.model, version, specs)
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
