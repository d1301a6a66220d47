"""Concept drift from delayed labels: everyone's delays at no more false alarms than the budget."""

from __future__ import annotations

import numpy as np

from loadtest.drift_quality import labels
from loadtest.drift_quality.cells import Cells
from loadtest.drift_quality.delay_cells import Delays, middle, shown_median
from loadtest.drift_quality.false_alarms import OURS
from loadtest.drift_quality.options import DriftQualityOptions
from loadtest.drift_quality.windows import skip
from loadtest.report import Report
from loadtest.summary import markdown


def compare_on_labels(
    options: DriftQualityOptions, cells: Cells, report: Report
) -> tuple[dict[str, float], tuple[int, float]]:
    """Add the table of delayed labels, every detector at no more false alarms than the budget.

    Returns how many times sooner than River's best each concept drift is found, and our false alarms with
    how many are allowed.
    """
    names = list(labels.SETTINGS)
    settings = cells.measure({f"labels, {name}": (_tuned, (options, name)) for name in (OURS, *names)})
    rate: dict[str, float] = {}
    tuned: dict[str, float] = {}
    for name in (OURS, *names):
        setting, alarms = settings[f"labels, {name}"]
        if name != OURS and setting is None:
            skip(report, f"{name} on errors: no setting raises as few false alarms as the budget")
            continue
        rate[name] = alarms / options.labels * 1e6
        tuned |= {} if setting is None else {name: setting}
    keys = {
        f"label delays, {name}, {concept.name}": (concept.name, tuned.get(name, 0.0), name)
        for concept in labels.CONCEPTS
        for name in rate
    }
    answers = cells.measure({key: (_label_delays, (options, *what)) for key, what in keys.items()})
    rows, best = [], {}
    for concept in labels.CONCEPTS:
        delays: dict[str, Delays] = {name: answers[f"label delays, {name}, {concept.name}"] for name in rate}
        middles = {name: middle(taken) for name, taken in delays.items()}
        best[concept.name] = min((m for n, m in middles.items() if n != OURS), default=np.inf) / middles[OURS]
        shown = f"{best[concept.name]:.1f}" if np.isfinite(best[concept.name]) else "missed by River"
        rows.append((concept.name, *(shown_median(delays[name]) for name in rate), shown))
        report.figures.setdefault("label_delays", {})[concept.name] = delays
    rows.append(("false alarms per million labels", *(f"{r:.1f}" for r in rate.values()), ""))
    report.text += [
        f"Median delay in labels (misses), River's detectors at the most sensitive setting within "
        f"{1e6 / options.labels_between_alarms:g} false alarms per million labels:",
        markdown(["concept drift", *rate, "best of River / Driftline"], rows),
    ]
    report.figures |= {"label_settings": tuned, "label_false_alarms_per_million": rate}
    ours = settings[f"labels, {OURS}"][1]
    return {name: float(gain) for name, gain in best.items()}, (
        ours,
        options.labels / options.labels_between_alarms,
    )


def _tuned(options: DriftQualityOptions, name: str) -> tuple[float | None, int]:
    """Return a detector's setting within the budget, None for none, and its false alarms with it."""
    still = labels.stream(np.random.default_rng([options.seed, 921]), options.labels)
    if name == OURS:
        return None, len(labels.LabelGivenScore(options.seed, options.labels_between_alarms).alarms(still))
    errors = labels.wrong(still)
    setting = labels.tune(name, errors, options.labels / options.labels_between_alarms)
    if setting is None:
        return None, 0
    return setting, len(labels.river_alarms(labels.SETTINGS[name][0](setting), errors))


def _label_delays(options: DriftQualityOptions, concept_name: str, setting: float, name: str) -> Delays:
    """Return the delays of one detector after one concept drift."""
    concept = next(one for one in labels.CONCEPTS if one.name == concept_name)
    ours = labels.LabelGivenScore(options.seed, options.labels_between_alarms) if name == OURS else None
    taken: Delays = []
    for k in range(options.label_repeats):
        rng = np.random.default_rng([options.seed, 922, k])
        before = labels.stream(rng, labels.BEFORE)
        after = labels.stream(rng, options.patience, concept.chance)
        if ours is not None:
            alarms = ours.alarms(before, after)
        else:
            detector = labels.SETTINGS[name][0](setting)
            errors = labels.wrong(before) + labels.wrong(after)
            alarms = labels.river_alarms(detector, errors, first_after=labels.BEFORE)
        later = [alarm - labels.BEFORE for alarm in alarms if alarm > labels.BEFORE]
        taken.append(later[0] if later else None)
    return taken
