"""What is known of the quality of each version, read from the reports topic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from services.cli.connection import Connection
from services.cli.report_reading import latest_reports
from shared.errors import ServiceError
from shared.messages import DriftReport, PerformanceReport
from shared.messages.drift import DriftAlarm
from shared.quality.merging import by_window, merge

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
    """

    model: str
    version: str
    windows: list[PerformanceReport]
    concept: DriftAlarm | None = None
    concept_evidence: float | None = None
    concept_threshold: float | None = None
    every: PerformanceReport = field(init=False)
    final: PerformanceReport | None = field(init=False)

    def __post_init__(self) -> None:
        final = [window for window in self.windows if window.final]
        self.every = merge(self.windows)
        self.final = merge(final) if final else None

    @property
    def realised(self) -> PerformanceReport:
        """What figures are told of: the final windows, or all while none is final."""
        return self.final if self.final is not None else self.every

    @property
    def provisional(self) -> bool:
        """Whether the figures rest on windows whose horizon has not passed."""
        return self.final is None


async def read_quality(connection: Connection, model: str | None = None) -> list[VersionQuality]:
    """Return every version that answered, by model, the one that answered most of late first.

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
    return found


def quality_of(reports: Iterable[object], model: str | None = None) -> list[VersionQuality]:
    """Return what a set of reports says of each version."""
    given = list(reports)
    groups: dict[tuple[str, str], list[PerformanceReport]] = {}
    for report in given:
        if isinstance(report, PerformanceReport) and model in (None, report.model):
            groups.setdefault((report.model, report.model_version), []).append(report)
    found = {key: VersionQuality(*key, by_window(its)) for key, its in groups.items()}
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
