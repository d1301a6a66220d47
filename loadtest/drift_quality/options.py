"""How much is measured: the usual run, a quick one and a long one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftQualityOptions:
    """How much of it.

    Attributes
    ----------
    events
        Events without drift for Driftline, all streams together, and once more at the small A; the others get
        a part of them.
    river_events, kswin_events, windows
        The same for River's detectors and for window tools (windows of 1,000 events), per stream.
    repeats, window_repeats
        How often each change is tried.
    patience
        Events after which a change counts as missed.
    labels
        Labels without drift that River's error detectors are tuned on.
    label_repeats
        How often each concept drift is tried.
    cost_events
        Events for CPU per event.
    events_between_alarms, labels_between_alarms
        The budget A.
    small_between_alarms
        An A so small that some false alarms are expected: none at the other A proves little.
    seed
        Of everything.
    """

    events: int = 1_000_000
    river_events: int = 50_000
    kswin_events: int = 5_000
    windows: int = 60
    repeats: int = 20
    window_repeats: int = 6
    patience: int = 20_000
    labels: int = 300_000
    label_repeats: int = 20
    cost_events: int = 100_000
    events_between_alarms: float = 1e7
    labels_between_alarms: float = 1e5
    small_between_alarms: float = 1e5
    seed: int = 1


QUICK = DriftQualityOptions(
    events=80_000, river_events=3_000, kswin_events=300, windows=3, repeats=2, window_repeats=1,
    patience=4_000, labels=20_000, label_repeats=2, cost_events=8_000,
)  # fmt: skip
LONG = DriftQualityOptions(
    events=20_000_000, river_events=1_000_000, kswin_events=20_000, windows=200, repeats=100,
    window_repeats=10, labels=2_000_000, label_repeats=100, cost_events=500_000,
)  # fmt: skip
