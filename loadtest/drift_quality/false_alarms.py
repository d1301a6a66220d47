"""Every alarm on a stream without drift is a false one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from loadtest.drift_quality.contenders import RIVER, Contender, River, driftline
from loadtest.drift_quality.options import DriftQualityOptions
from loadtest.drift_quality.streams import BASELINE_ROWS, STREAMS, Piece, Stream
from loadtest.drift_quality.windows import WINDOW, WINDOW_TOOLS, WindowTool, reference_rows, skip
from loadtest.errors import LoadTestError
from loadtest.report import Report
from loadtest.summary import markdown

OURS = "Driftline"
PIECE = 100_000
Counted = dict[str, dict[str, tuple[int, int]]]
"""Alarms and events by contender and stream."""


def begun(options: DriftQualityOptions, name: str) -> tuple[Stream, Piece]:
    """Return a stream, and its first events: what the contenders are trained on."""
    stream = STREAMS[name](options.seed)
    return stream, stream.take(BASELINE_ROWS)


def count_false_alarms(options: DriftQualityOptions, report: Report) -> Counted:
    """Return alarms and events by contender and stream."""
    found: Counted = {}
    share = options.events // len(STREAMS)
    makers: dict[str, tuple[Callable[[Piece], Contender], int]] = {
        OURS: (lambda training: driftline(training, options.events_between_alarms), share)
    }
    for name, make in RIVER.items():
        events = options.kswin_events if name == "River KSWIN" else options.river_events
        makers[name] = (_river(make), events)
    for stream_name in STREAMS:
        for name, (make_contender, events) in makers.items():
            stream, training = begun(options, stream_name)
            contender, done, alarms = make_contender(training), 0, 0
            while done < events:
                piece = stream.take(min(PIECE, events - done))
                alarms, done = alarms + contender.false_alarms(piece), done + len(piece.times)
            found.setdefault(name, {})[stream_name] = (alarms, done)
            print(f"{stream_name}: {name}, {alarms} alarms in {done:,} events", flush=True)
        for tool in WINDOW_TOOLS:
            _judge(tool, options, stream_name, found, report)
    return found


def _river(make: Callable[[], Any]) -> Callable[[Piece], Contender]:
    return lambda training: River(make, training)


def _judge(
    tool: WindowTool,
    options: DriftQualityOptions,
    stream_name: str,
    found: Counted,
    report: Report,
) -> None:
    """Count the windows without drift in which a tool says that any column has drifted."""
    stream, training = begun(options, stream_name)
    reference = reference_rows(training)
    windows = stream.take(options.windows * WINDOW).values.T.reshape(options.windows, WINDOW, -1)
    try:
        flagged = tool.flagged(reference, windows)
    except LoadTestError as error:
        skip(report, f"{tool.name}: {error}")
        return
    alarms = sum(1 for columns in flagged if columns)
    found.setdefault(tool.name, {})[stream_name] = (alarms, options.windows * WINDOW)
    print(f"{stream_name}: {tool.name}, {alarms} of {options.windows} windows", flush=True)


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
