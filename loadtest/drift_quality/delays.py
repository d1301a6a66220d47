"""How long each kind of drift takes to be found, by everyone on the same events."""

from __future__ import annotations

import numpy as np

from loadtest.drift_quality import oracle
from loadtest.drift_quality.changes import CHANGES, DRIFTED, RAMP, Change
from loadtest.drift_quality.contenders import RIVER, River, driftline
from loadtest.drift_quality.delay_cells import Delays, mean_ratio, shown_median
from loadtest.drift_quality.false_alarms import OURS, begun
from loadtest.drift_quality.options import DriftQualityOptions
from loadtest.drift_quality.streams import STREAMS, Piece
from loadtest.drift_quality.windows import WINDOW, WINDOW_TOOLS, WindowTool, reference_rows, skip
from loadtest.errors import LoadTestError
from loadtest.report import Report
from loadtest.summary import markdown

BEFORE = 2_048
KNOWING = "CUSUM that knows the law"


def measure_delays(options: DriftQualityOptions, report: Report) -> dict[str, dict[str, Delays]]:
    """Return the delays by contender and change, None for a miss."""
    _, training = begun(options, "stationary")
    ours = driftline(training, options.events_between_alarms)
    found: dict[str, dict[str, Delays]] = {KNOWING: {}, OURS: {}}
    for change in CHANGES:
        limit = oracle.threshold(change.log_ratio, options.events_between_alarms, options.seed)
        for k in range(options.repeats):
            before, after = _drifting(options, change, k)
            knows = oracle.delay(change.log_ratio(after.values[DRIFTED]), limit)
            found[KNOWING].setdefault(change.name, []).append(knows)
            found[OURS].setdefault(change.name, []).append(ours.delay(before, after))
        for name, make in RIVER.items():
            repeats = max(1, options.repeats // 4) if name == "River KSWIN" else options.repeats
            contender = River(make, training)
            taken = [contender.delay(*_drifting(options, change, k)) for k in range(repeats)]
            found.setdefault(name, {})[change.name] = taken
        print(f"{change.name}: delays measured", flush=True)
    for tool in WINDOW_TOOLS:
        try:
            found[tool.name] = _window_delays(tool, options, training)
        except LoadTestError as error:
            skip(report, f"{tool.name}: {error}")
    return found


def _drifting(options: DriftQualityOptions, change: Change, k: int) -> tuple[Piece, Piece]:
    """Return the events before and after a change, fresh for every repeat, the same for every contender."""
    stream = STREAMS["stationary"]([options.seed, 911, k])
    patience = options.patience + (RAMP if change.name.startswith("mean rising") else 0)
    before, after = stream.take(BEFORE + 16 * k), stream.take(patience)
    rng = np.random.default_rng([options.seed, 912, k])
    after.values[DRIFTED] = change.apply(after.values[DRIFTED], rng)
    return before, after


def _window_delays(tool: WindowTool, options: DriftQualityOptions, training: Piece) -> dict[str, Delays]:
    """Return a tool's delays: to the end of the first window in which it names the drifted column.

    A change begins somewhere in a window, wherever chance has it.
    """
    chosen, starts = [], []
    count = options.patience // WINDOW
    for change in CHANGES:
        for k in range(options.window_repeats):
            before, after = _drifting(options, change, k)
            inside = int(np.random.default_rng([options.seed, 913, k]).integers(WINDOW))
            values = np.hstack([before.values[:, :inside], after.values])[:, : count * WINDOW]
            chosen.append(values.T.reshape(count, WINDOW, -1))
            starts.append(inside)
    flagged = tool.flagged(reference_rows(training), np.concatenate(chosen))
    found: dict[str, Delays] = {}
    for i, inside in enumerate(starts):
        part = flagged[i * count : (i + 1) * count]
        first = next((w for w, columns in enumerate(part) if DRIFTED in columns), None)
        delay = None if first is None else (first + 1) * WINDOW - inside
        found.setdefault(CHANGES[i // options.window_repeats].name, []).append(delay)
    print(f"{tool.name}: delays measured", flush=True)
    return found


def tabulate_delays(report: Report, found: dict[str, dict[str, Delays]]) -> None:
    """Add the table of delays, and the ratio of our mean delay to the knowing CUSUM's."""
    names, rows = list(found), []
    ratios: dict[str, float | None] = {}
    for name in (change.name for change in CHANGES):
        ratio = ratios[name] = mean_ratio(found[OURS][name], found[KNOWING][name])
        cells = [shown_median(found[contender].get(name, [])) for contender in names]
        rows.append((name, *cells, "-" if ratio is None else f"{ratio:.2f}"))
    text = (
        "Median delay in events (misses of tries), change in one of ten features; "
        "ratio of our mean delay to the CUSUM's:"
    )
    report.text += [text, markdown(["change", *names, "ratio"], rows)]
    report.figures |= {"delays": found, "mean_ratio_to_knowing": ratios}
