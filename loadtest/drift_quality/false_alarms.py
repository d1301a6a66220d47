"""Every alarm on a stream without drift is a false one."""

from __future__ import annotations

from loadtest.drift_quality.cells import Cell, Cells
from loadtest.drift_quality.contenders import RIVER, Contender, River, driftline
from loadtest.drift_quality.options import DriftQualityOptions
from loadtest.drift_quality.streams import BASELINE_ROWS, STREAMS, Piece, Stream
from loadtest.drift_quality.windows import WINDOW, WINDOW_TOOLS, WindowTool, reference_rows, skip
from loadtest.report import Report
from loadtest.summary import markdown

OURS = "Driftline"
PIECE = 100_000
BASELINES = 5
SMALL_BASELINES = (600, 10_000)
Counted = dict[str, dict[str, tuple[int, int]]]
"""Alarms and events by contender and stream."""


def begun(options: DriftQualityOptions, name: str) -> tuple[Stream, Piece]:
    """Return a stream, and its first events: what the contenders are trained on."""
    stream = STREAMS[name](options.seed)
    return stream, stream.take(BASELINE_ROWS)


def count_false_alarms(options: DriftQualityOptions, cells: Cells, report: Report) -> Counted:
    """Return alarms and events by contender and stream."""
    names = [OURS, *RIVER, *(tool.name for tool in WINDOW_TOOLS)]
    keys = {f"false alarms, {name}, {stream}": (name, stream) for stream in STREAMS for name in names}
    answers = cells.measure({key: (_counted, (options, *what)) for key, what in keys.items()})
    found: Counted = {}
    for key, (name, stream) in keys.items():
        if key in answers:
            alarms, events = answers[key]
            found.setdefault(name, {})[stream] = (alarms, events)
        else:
            skip(report, f"{name}: {cells.skipped[key]}")
    return found


def count_at_small(options: DriftQualityOptions, cells: Cells) -> dict[str, tuple[int, float]]:
    """Return Driftline's false alarms at the small A, and how many are allowed, by what they are counted on.

    Each stream with the usual baseline, then the stationary one with five small baselines each: their own
    error is what an alarm could mistake for drift.
    """
    between, each = options.small_between_alarms, options.events // len(STREAMS)
    wanted: dict[str, Cell] = {
        f"{stream}, A = {between:,.0f}": (_ours, (options, stream, BASELINE_ROWS, 1, each))
        for stream in STREAMS
    }
    wanted |= {
        f"{BASELINES} baselines of {rows:,} rows, A = {between:,.0f}": (
            _ours,
            (options, "stationary", rows, BASELINES, each // BASELINES),
        )
        for rows in SMALL_BASELINES
    }
    answers = cells.measure({f"false alarms, {name}": cell for name, cell in wanted.items()})
    found = {}
    for name in wanted:
        alarms, events = answers[f"false alarms, {name}"]
        found[name] = (int(alarms), events / between)
    return found


def _ours(
    options: DriftQualityOptions, stream_name: str, rows: int, baselines: int, events: int
) -> tuple[int, int]:
    """Return the false alarms at the small A with several baselines, and the events of all."""
    alarms = seen = 0
    for number in range(baselines):
        stream = STREAMS[stream_name](options.seed + 1_000 * number)
        contender, done = driftline(stream.take(rows), options.small_between_alarms), 0
        while done < events:
            piece = stream.take(min(PIECE, events - done))
            alarms, done = alarms + contender.false_alarms(piece), done + len(piece.times)
        seen += done
    return alarms, seen


def _counted(options: DriftQualityOptions, name: str, stream_name: str) -> tuple[int, int]:
    """Return the alarms of a contender on a stream, and the events it saw."""
    stream, training = begun(options, stream_name)
    tool = next((tool for tool in WINDOW_TOOLS if tool.name == name), None)
    if tool is not None:
        return _judged(tool, options, stream, training)
    contender: Contender
    if name == OURS:
        contender, events = driftline(training, options.events_between_alarms), options.events // len(STREAMS)
    else:
        contender = River(RIVER[name], training)
        events = options.kswin_events if name == "River KSWIN" else options.river_events
    done = alarms = 0
    while done < events:
        piece = stream.take(min(PIECE, events - done))
        alarms, done = alarms + contender.false_alarms(piece), done + len(piece.times)
    return alarms, done


def _judged(
    tool: WindowTool, options: DriftQualityOptions, stream: Stream, training: Piece
) -> tuple[int, int]:
    """Return the windows without drift in which a tool says that any column has drifted, and their events."""
    windows = stream.take(options.windows * WINDOW).values.T.reshape(options.windows, WINDOW, -1)
    flagged = tool.flagged(reference_rows(training), windows)
    return sum(1 for columns in flagged if columns), options.windows * WINDOW


def tabulate_alarms(report: Report, found: Counted, options: DriftQualityOptions) -> None:
    """Add the table of false alarms per million events."""
    rows = []
    for name, by_stream in found.items():
        cells = [_per_million(by_stream.get(stream)) for stream in STREAMS]
        events = sum(done for _, done in by_stream.values())
        rows.append((name, f"{events:,}", *cells))
    budget = 1e6 / options.events_between_alarms
    text = f"False alarms per million events of ten features, no drift (Driftline's budget: {budget:g}):"
    report.text += [text, markdown(["contender", "events", *STREAMS], rows)]
    report.figures["false_alarms"] = {
        name: {stream: {"alarms": a, "events": n} for stream, (a, n) in by_stream.items()}
        for name, by_stream in found.items()
    }


def _per_million(counted: tuple[int, int] | None) -> str:
    if counted is None:
        return "-"
    alarms, events = counted
    return f"{alarms / events * 1e6:,.1f}" if alarms else "0"
