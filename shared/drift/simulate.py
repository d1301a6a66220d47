"""Before going live: what a detector would have made of a history, and how long a change takes to find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.alarm import Alarm
from shared.drift.alternatives import channel_bets
from shared.drift.baseline import Baseline
from shared.drift.detector import Detector
from shared.drift.latch import LatchedDetector, Transition
from shared.drift.shifts import NUMERIC, Shift, shifted
from shared.drift.slots import SlotCounter
from shared.drift.values import as_category, as_numbers
from shared.errors import ValidationError

BATCH = 4_096
WARM_UP = 1_024
Columns = Mapping[str, Sequence[Any] | NDArray[Any]]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a history.

    Attributes
    ----------
    events
        Its length.
    alarms
        Every alarm that the detector raised.
    transitions
        What was latched and cleared: what a person would have been told.
    """

    events: int
    alarms: tuple[Alarm, ...]
    transitions: tuple[Transition, ...]


def replay_history(
    baseline: Baseline, columns: Columns, times: NDArray[np.float64] | None, events_between_alarms: float
) -> Outcome:
    """Return what a detector would have raised on a history that is in the order of time.

    Raises
    ------
    ValidationError
        No channel of the baseline is calibrated.
    """
    detector = _detector(baseline, events_between_alarms)
    counter, alarms, transitions, events = SlotCounter(baseline), [], [], 0
    for part, when in _batches(columns, times):
        raised, changed = detector.update(counter.add(part, when))
        alarms += raised
        transitions += changed
        events += len(next(iter(part.values())))
    return Outcome(events=events, alarms=tuple(alarms), transitions=tuple(transitions))


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """How long a change took to be found, over several places in a history.

    Attributes
    ----------
    delays
        Events from the change to the first alarm on the changed feature (or one joint with others), one
        per place where it was found.
    missed
        Places where it was not, before the history of that place ended.
    named
        What the first alarm said most often ("delay: location, mean +0.64 sd").
    before
        Alarms before the change, left out of account: the places already differ from the baseline.
    """

    delays: tuple[int, ...]
    missed: int
    named: str
    before: int


def try_shift(
    baseline: Baseline,
    columns: Columns,
    times: NDArray[np.float64] | None,
    shift: Shift,
    *,
    events_between_alarms: float,
    places: int = 20,
    patience: int = 50_000,
    seed: int = 0,
) -> Trial:
    """Return how long a change takes to be found, begun at several places of a history.

    The events are the history's own, so their dependence and their seasons are real. After 1,024
    unchanged events the feature changes, for as long as ``patience``, or to the history's end.

    Parameters
    ----------
    columns, times
        In the order of time.
    places
        Where to begin, evenly spread from a random start.
    patience
        Events after which the change counts as missed.
    seed
        Of the random start and of the events that a change strikes.

    Raises
    ------
    ValidationError
        The feature is unknown or not watched, its category never occurs, the history is too short, or the
        change cannot be made.
    """
    _check_feature(baseline, columns, shift)
    rows = len(next(iter(columns.values())))
    length = WARM_UP + min(patience, rows // 2)
    if rows < 4 * WARM_UP:
        raise ValidationError(f"the history has {rows} events; {4 * WARM_UP} are needed to try a change")
    rng = np.random.default_rng(seed)
    spread = (
        _spread(columns[shift.feature]) if shift.change not in ("missing", "unseen", "category") else (0, 1)
    )
    room = max(rows - length, 1)
    starts = (int(rng.integers(room)) + np.arange(places) * room // max(places, 1)) % room
    delays, named, missed, before = [], [], 0, 0
    for start in starts.tolist():
        part = slice(start, start + length)
        chosen: dict[str, Any] = {name: values[part] for name, values in columns.items()}
        changed = shifted(shift, chosen[shift.feature][WARM_UP:], spread, rng)
        chosen[shift.feature] = [*chosen[shift.feature][:WARM_UP], *changed]
        when = times[part] if times is not None else None
        early, found = _first_alarm(baseline, chosen, when, shift.feature, events_between_alarms)
        before += early
        if found is None:
            missed += 1
        else:
            delays.append(found.event - WARM_UP)
            named.append(f"{found.channel}: {found.change}, {found.detail}")
    said = max(sorted(set(named)), key=named.count) if named else ""
    return Trial(delays=tuple(sorted(delays)), missed=missed, named=said, before=before)


def _check_feature(baseline: Baseline, columns: Columns, shift: Shift) -> None:
    channel = next((c for c in baseline.channels if c.name == shift.feature), None)
    if channel is None or shift.feature not in columns:
        raise ValidationError(f"{shift.text}: there is no feature {shift.feature!r}")
    if channel.reason is not None:
        raise ValidationError(f"{shift.text}: {shift.feature} is not watched: {channel.reason}")
    numeric = shift.change in NUMERIC
    if shift.change == "category":
        _check_category(columns[shift.feature], shift)
    if shift.change != "missing" and numeric != (channel.kind == "numeric"):
        raise ValidationError(f"{shift.text}: {shift.feature} is {channel.kind}, and such a change is not")


def _check_category(values: Sequence[Any] | NDArray[Any], shift: Shift) -> None:
    """Refuse a category that never occurs: a change of nothing is never found, and looks like blindness."""
    counts = Counter(as_category(value) for value in values)
    if shift.category in counts:
        return
    names = [name for name, _ in counts.most_common() if name is not None]
    near = get_close_matches(str(shift.category), names, n=1)
    hint = (
        f"; did you mean {near[0]!r}?" if near else f" (it has {', '.join(names[:5])}, ...)" if names else ""
    )
    raise ValidationError(f"{shift.text}: {shift.feature} is never {shift.category!r} in the history{hint}")


def _first_alarm(
    baseline: Baseline,
    columns: Columns,
    times: NDArray[np.float64] | None,
    feature: str,
    events_between_alarms: float,
) -> tuple[int, Alarm | None]:
    """Return the alarms before the change, and the first after it that the changed feature explains."""
    detector, counter = _detector(baseline, events_between_alarms), SlotCounter(baseline)
    early = 0
    for part, when in _batches(columns, times):
        for alarm in detector.update(counter.add(part, when))[0]:
            early += alarm.event <= WARM_UP
            about = alarm.channel == feature or alarm.channel.startswith("joint ")
            if alarm.event > WARM_UP and about:
                return early, alarm
    return early, None


def _detector(baseline: Baseline, events_between_alarms: float) -> LatchedDetector:
    bets = [channel_bets(channel) for channel in baseline.calibrated]
    if not bets:
        raise ValidationError(
            "no channel of the baseline can be watched; `driftline drift baseline` says why"
        )
    return LatchedDetector(Detector(bets, events_between_alarms, baseline.fingerprint()))


def _batches(columns: Columns, times: NDArray[np.float64] | None) -> Iterator[tuple[Columns, Any]]:
    rows = len(next(iter(columns.values()), ()))
    for start in range(0, rows, BATCH):
        part = slice(start, start + BATCH)
        chosen = {name: values[part] for name, values in columns.items()}
        yield chosen, None if times is None else times[part]


def _spread(values: Sequence[Any] | NDArray[Any]) -> tuple[float, float]:
    numbers = as_numbers(values)
    return float(np.nanmean(numbers)), float(np.nanstd(numbers))
