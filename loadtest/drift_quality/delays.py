"""How long each kind of drift takes to be found, by everyone on the same events."""

from __future__ import annotations

import numpy as np

from loadtest.drift_quality import oracle
from loadtest.drift_quality.cells import Cell, Cells
from loadtest.drift_quality.changes import CHANGES, DRIFTED, RAMP, Change
from loadtest.drift_quality.contenders import RIVER, Contender, River, driftline
from loadtest.drift_quality.delay_cells import Delays, mean_ratio, shown_median
from loadtest.drift_quality.false_alarms import OURS, begun
from loadtest.drift_quality.options import DriftQualityOptions
from loadtest.drift_quality.streams import STREAMS, Piece
from loadtest.drift_quality.windows import WINDOW, WINDOW_TOOLS, reference_rows, skip
from loadtest.report import Report
from loadtest.summary import markdown

BEFORE = 2_048
KNOWING = "CUSUM that knows the law"


def measure_delays(
    options: DriftQualityOptions, cells: Cells, report: Report
) -> dict[str, dict[str, Delays]]:
    """Return the delays by contender and change, None for a miss."""
    names = [KNOWING, OURS, *RIVER]
    keys = {f"delays, {name}, {change.name}": (name, change.name) for change in CHANGES for name in names}
    wanted: dict[str, Cell] = {key: (_delays, (options, *what)) for key, what in keys.items()}
    wanted |= {f"delays, {tool.name}": (_window_delays, (options, tool.name)) for tool in WINDOW_TOOLS}
    answers = cells.measure(wanted)
    found: dict[str, dict[str, Delays]] = {}
    for key, (name, change) in keys.items():
        found.setdefault(name, {})[change] = answers[key]
    for tool in WINDOW_TOOLS:
        key = f"delays, {tool.name}"
        if key in answers:
            found[tool.name] = answers[key]
        else:
            skip(report, f"{tool.name}: {cells.skipped[key]}")
    return found


def _delays(options: DriftQualityOptions, name: str, change_name: str) -> Delays:
    """Return the delays of one contender after one change, on the same events as everybody's."""
    change = next(one for one in CHANGES if one.name == change_name)
    if name == KNOWING:
        limit = oracle.threshold(change.log_ratio, options.events_between_alarms, options.seed)
        pieces = (_drifting(options, change, k)[1] for k in range(options.repeats))
        return [oracle.delay(change.log_ratio(after.values[DRIFTED]), limit) for after in pieces]
    _, training = begun(options, "stationary")
    contender: Contender
    if name == OURS:
        contender = driftline(training, options.events_between_alarms)
    else:
        contender = River(RIVER[name], training)
    repeats = max(1, options.repeats // 4) if name == "River KSWIN" else options.repeats
    return [contender.delay(*_drifting(options, change, k)) for k in range(repeats)]


def _drifting(options: DriftQualityOptions, change: Change, k: int) -> tuple[Piece, Piece]:
    """Return the events before and after a change, fresh for every repeat, the same for every contender."""
    stream = STREAMS["stationary"]([options.seed, 911, k])
    patience = options.patience + (RAMP if change.name.startswith("mean rising") else 0)
    before, after = stream.take(BEFORE + 16 * k), stream.take(patience)
    rng = np.random.default_rng([options.seed, 912, k])
    after.values[DRIFTED] = change.apply(after.values[DRIFTED], rng)
    return before, after


def _window_delays(options: DriftQualityOptions, name: str) -> dict[str, Delays]:
    """Return a tool's delays: to the end of the first window in which it names the drifted column.

    A change begins somewhere in a window, wherever chance has it.
    """
    tool = next(tool for tool in WINDOW_TOOLS if tool.name == name)
    _, training = begun(options, "stationary")
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
    return found


def tabulate_delays(report: Report, found: dict[str, dict[str, Delays]]) -> dict[str, float | None]:
    """Add the table of delays; return the ratio of our mean delay to the knowing CUSUM's, by change."""
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
    return ratios
