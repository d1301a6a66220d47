"""What is known of the quality of each version, read from the reports topic."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.cli.connection import Connection
from services.cli.registry import open_registry
from services.cli.report_reading import latest_reports
from shared.errors import ServiceError
from shared.logs import get_logger
from shared.messages import DriftReport, PerformanceReport
from shared.messages.drift import DriftAlarm
from shared.quality.merging import alike, by_window, merge, orphans_of

log = get_logger(__name__)

_REGISTRY_SECONDS: Final = 3.0

CONCEPT: Final = "label given score"


@dataclass(slots=True)
class VersionQuality:
    """One version.

    Attributes
    ----------
    windows
        Merged over partitions, oldest first.
    concept
        The alarm of label given score, while it is on.
    concept_evidence, concept_threshold
        log10 of its evidence, and where it alarms; None before its first report.
    champion
        Whether the registry says so.
    left_out
        Reports that cannot be added to the others, since they have other bins.
    orphans
        Labels and outcomes, of whatever model, that found no prediction in time.
    every, final, open
        All windows as one report, those that are final, and those that are not; None where there are none.
    """

    model: str
    version: str
    windows: list[PerformanceReport]
    concept: DriftAlarm | None = None
    concept_evidence: float | None = None
    concept_threshold: float | None = None
    champion: bool = False
    left_out: int = 0
    orphans: int = 0
    every: PerformanceReport = field(init=False)
    final: PerformanceReport | None = field(init=False)
    open: PerformanceReport | None = field(init=False)

    def __post_init__(self) -> None:
        final = [window for window in self.windows if window.final]
        waiting = [window for window in self.windows if not window.final]
        self.every = merge(self.windows)
        self.final = merge(final) if final else None
        self.open = merge(waiting) if waiting else None

    @property
    def realised(self) -> PerformanceReport:
        """What figures and KPIs are told of: the final windows, or all while none is final."""
        return self.final if self.final is not None else self.every

    @property
    def provisional(self) -> bool:
        """Whether the figures rest on windows whose horizon has not passed."""
        return self.final is None


async def read_quality(connection: Connection, model: str | None = None) -> list[VersionQuality]:
    """Return every version that answered, by model, the one that answered last first.

    Where the registry can be asked, it says which one is champion.

    Raises
    ------
    ServiceError
        No performance report has been written, or none of that model.
    """
    reports = list(await latest_reports(connection))
    found = quality_of(reports, model)
    if not found:
        of = f" of {model}" if model is not None else ""
        raise ServiceError(f"there is no performance report{of} yet: is the performance service running?")
    champions = await _champions(connection, sorted({one.model for one in found}))
    for one in found:
        one.champion = champions.get(one.model) == one.version
    return found


async def _champions(connection: Connection, models: Sequence[str]) -> dict[str, str | None]:
    """Return the champion of each model; nothing where the registry is away, or none is used."""
    try:
        async with asyncio.timeout(_REGISTRY_SECONDS), open_registry(connection.settings) as registry:
            return {model: (await registry.pointers(model)).champion for model in models}
    except (ServiceError, OSError, TimeoutError) as error:
        log.debug("nobody knows the champion", error=repr(error))
        return {}


def quality_of(reports: Iterable[object], model: str | None = None) -> list[VersionQuality]:
    """Return what a set of reports says of each version."""
    given = list(reports)
    groups: dict[tuple[str, str], list[PerformanceReport]] = {}
    for report in given:
        if isinstance(report, PerformanceReport) and model in (None, report.model):
            groups.setdefault((report.model, report.model_version), []).append(report)
    orphans = orphans_of(report for report in given if isinstance(report, PerformanceReport))
    found = {}
    for key, its in groups.items():
        added = alike(its)
        left_out = len(its) - len(added)
        found[key] = VersionQuality(*key, by_window(added), left_out=left_out, orphans=orphans)
    drift = [report for report in given if isinstance(report, DriftReport)]
    for report in sorted(drift, key=lambda report: (report.next_offset, report.written_at)):
        _note_concept(found.get((report.model, report.model_version)), report)
    return sorted(found.values(), key=lambda one: (one.model, -_last_answered(one), one.version))


def _note_concept(version: VersionQuality | None, report: DriftReport) -> None:
    for channel in report.channels:
        if version is not None and channel.name == CONCEPT and channel.source == "labels":
            version.concept = channel.alarm if channel.alarming else None
            version.concept_evidence = channel.evidence
            version.concept_threshold = report.budget.threshold if report.budget is not None else None


def _last_answered(version: VersionQuality) -> int:
    """Return the start of the last window in which a version answered the world, -1 where it never did."""
    return max((window.window.start for window in version.windows if window.answered), default=-1)
