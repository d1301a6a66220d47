"""Concept drift from delayed labels: everyone's delays at no more false alarms than the budget."""

from __future__ import annotations

import numpy as np

from loadtest.drift_quality import labels
from loadtest.drift_quality.delay_cells import Delays, middle, shown_median
from loadtest.drift_quality.false_alarms import OURS
from loadtest.drift_quality.options import DriftQualityOptions
from loadtest.drift_quality.windows import skip
from loadtest.report import Report
from loadtest.summary import markdown


def compare_on_labels(options: DriftQualityOptions, report: Report) -> None:
    """Add the table of delayed labels, every detector at no more false alarms than the budget."""
    still = labels.stream(np.random.default_rng([options.seed, 921]), options.labels)
    allowed = options.labels / options.labels_between_alarms
    errors = labels.wrong(still)
    ours = labels.LabelGivenScore(options.seed, options.labels_between_alarms)
    rate = {OURS: len(ours.alarms(still)) / options.labels * 1e6}
    tuned: dict[str, float] = {}
    for name, (make, _) in labels.SETTINGS.items():
        setting = labels.tune(name, errors, allowed)
        if setting is None:
            skip(report, f"{name} on errors: no setting raises as few false alarms as the budget")
            continue
        tuned[name] = setting
        rate[name] = len(labels.river_alarms(make(setting), errors)) / options.labels * 1e6
    rows, best = [], {}
    for concept in labels.CONCEPTS:
        delays = {name: _label_delays(options, concept, ours, tuned, name) for name in rate}
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


def _label_delays(
    options: DriftQualityOptions,
    concept: labels.Concept,
    ours: labels.LabelGivenScore,
    tuned: dict[str, float],
    name: str,
) -> Delays:
    taken: Delays = []
    for k in range(options.label_repeats):
        rng = np.random.default_rng([options.seed, 922, k])
        before = labels.stream(rng, labels.BEFORE)
        after = labels.stream(rng, options.patience, concept.chance)
        if name == OURS:
            alarms = ours.alarms(before, after)
        else:
            detector = labels.SETTINGS[name][0](tuned[name])
            errors = labels.wrong(before) + labels.wrong(after)
            alarms = labels.river_alarms(detector, errors, first_after=labels.BEFORE)
        later = [alarm - labels.BEFORE for alarm in alarms if alarm > labels.BEFORE]
        taken.append(later[0] if later else None)
    return taken
