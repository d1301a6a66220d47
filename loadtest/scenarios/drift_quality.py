"""False alarms and delays of drift detection, side by side, and what it costs; no broker is needed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from loadtest.drift_quality import cost
from loadtest.drift_quality.cells import Cells
from loadtest.drift_quality.delays import measure_delays, tabulate_delays
from loadtest.drift_quality.false_alarms import OURS, count_at_small, count_false_alarms, tabulate_alarms
from loadtest.drift_quality.goals import tabulate_goals
from loadtest.drift_quality.label_delays import compare_on_labels
from loadtest.drift_quality.options import LONG, QUICK, DriftQualityOptions
from loadtest.report import Report
from loadtest.summary import markdown

__all__ = ["LONG", "QUICK", "DriftQualityOptions", "run"]


def run(options: DriftQualityOptions, *, folder: Path | None = None, jobs: int = 1) -> Report:
    """Return the tables of false alarms, of delays, of delayed labels, of goals and of cost.

    Parameters
    ----------
    folder
        Where what was measured is kept, and taken from in another run with the same options; the cost is
        always measured anew.
    jobs
        Processes at a time.
    """
    report = Report("drift-quality", asdict(options))
    cells = Cells(options, folder, jobs)
    false_alarms = count_false_alarms(options, cells, report)
    at_small = count_at_small(options, cells)
    delays = measure_delays(options, cells, report)
    tabulate_alarms(report, false_alarms, options)
    ratios = tabulate_delays(report, delays)
    gains, on_labels = compare_on_labels(options, cells, report)
    alarms, events = (sum(counted) for counted in zip(*false_alarms[OURS].values(), strict=True))
    counted = {
        f"all streams, A = {options.events_between_alarms:,.0f}": (
            alarms,
            events / options.events_between_alarms,
        )
    }
    counted |= at_small | {f"labels, A = {options.labels_between_alarms:,.0f}": on_labels}
    tabulate_goals(report, counted, ratios, delays[OURS], gains)
    _cost(options, report)
    return report


def _cost(options: DriftQualityOptions, report: Report) -> None:
    costs = [cost.measure(features, options.cost_events) for features in (10, 50, 100, 200)]
    rows = [
        (
            str(c.features),
            f"{c.counting:.2f}",
            f"{c.detecting:.2f}",
            f"{(c.counting + c.detecting):.2f}",
            f"{c.kib_per_channel:.1f}",
        )
        for c in costs
    ]
    header = ["features", "counting, CPU us/event", "detecting", "both", "KiB per channel"]
    report.text += ["What Driftline's detector costs, joint channels included:", markdown(header, rows)]
    report.figures["cost"] = [asdict(c) for c in costs]
