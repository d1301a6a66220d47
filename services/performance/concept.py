"""Concept drift: does a score still mean what it meant? A model's labels in one stream, from all partitions.

Labels whose horizon has passed are sent on, as the bin of their score and whether they were positive, to
the one partition of the log that the model's name leads to. There a detector bets on them in the order of
the log, so that the evidence of all partitions adds up, and a replay raises the same alarms.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np

from services.performance.facts import Facts
from services.performance.packets import Matured
from shared.drift.alarm import Alarm, events_between_false_alarms
from shared.drift.detector import Detector
from shared.drift.label_baseline import SCORE_EDGES, LabelBaseline
from shared.drift.label_given_score import label_bets
from shared.drift.latch import LatchedDetector
from shared.drift.slots import SlotAccumulator
from shared.logs import get_logger
from shared.messages import DriftReport, Source, Window
from shared.messages.drift import DriftAlarm, DriftBudget, DriftChannel, DriftMoment

log = get_logger(__name__)

CHANNEL: Final = "label given score"
_BINS: Final = 2 * len(SCORE_EDGES) + 2
_RATE_LABELS: Final = 2_000
"""So many labels are counted before their rate is taken for the model's."""

_FIRST_BETWEEN: Final = 1e6


class _State(msgspec.Struct, array_like=True):
    labels: int
    first: int
    latest: int
    between: float
    slots: bytes
    detector: bytes
    alarm: DriftAlarm | None
    window_labels: list[int]


class ConceptWatch:
    """Watches one version's labels given its scores.

    The false-alarm budget of the model is the channel's own: it is spent here beside, and not out of, that
    of the features' drift. Until 2,000 labels have told their rate, a million labels lie between two
    false alarms.

    Parameters
    ----------
    facts
        Of a version with a label baseline.
    """

    def __init__(self, facts: Facts, raw: bytes | None) -> None:
        assert facts.label_baseline is not None
        self.facts = facts
        self._baseline: LabelBaseline = facts.label_baseline
        self._slots = SlotAccumulator(1, _BINS)
        state = msgspec.msgpack.decode(raw, type=_State) if raw is not None else None
        self._labels, self._first, self._latest = 0, -1, -1
        self._between = _FIRST_BETWEEN
        self._window = [0] * _BINS
        self.alarm: DriftAlarm | None = None
        if state is not None:
            self._labels, self._first, self._latest = state.labels, state.first, state.latest
            self._between, self.alarm, self._window = state.between, state.alarm, state.window_labels
            self._slots.restore(state.slots)
        self._detector = self._new_detector()
        if state is not None:
            self._resume(state.detector)
        self.changed = False

    def _resume(self, detector: bytes) -> None:
        """Go on with the evidence as it was; that of other bets is forgotten, and the alarm with it."""
        try:
            self._detector.restore(detector)
        except ValueError as error:
            self.alarm = None
            log.warning(
                "drift detectors begin from nothing: their state cannot be gone on with",
                channel=CHANNEL,
                error=str(error),
            )

    def _new_detector(self) -> LatchedDetector:
        return LatchedDetector(Detector([label_bets(self._baseline)], self._between, "labels"))

    def snapshot(self) -> bytes:
        """Return the state as bytes."""
        return msgspec.msgpack.encode(
            _State(
                self._labels,
                self._first,
                self._latest,
                self._between,
                self._slots.snapshot(),
                self._detector.snapshot(),
                self.alarm,
                self._window,
            )
        )

    def take(self, matured: Matured, source: Source) -> None:
        """Take labels whose horizon has passed."""
        cells = np.frombuffer(matured.cells, np.uint8).astype(np.int64)
        if self._latest >= 0 and self.facts.window_of(matured.occurred_at) > self.facts.window_of(
            self._latest
        ):
            self._window = [0] * _BINS
        self._window = (np.array(self._window) + np.bincount(cells, minlength=_BINS)).tolist()
        self._first = matured.occurred_at if self._first < 0 else self._first
        self._latest = max(self._latest, matured.occurred_at)
        self._labels += len(cells)
        self._settle_rate()
        alarms, changes = self._detector.update(self._slots.add(cells[None, :]))
        moment = DriftMoment(events=self._labels, occurred_at=self._latest, source=source)
        for alarm in alarms:
            self._raise(alarm, moment)
        for change in changes:
            if change.status == "cleared" and self.alarm is not None:
                self.alarm = msgspec.structs.replace(self.alarm, cleared=moment)
        self.changed = True

    def _settle_rate(self) -> None:
        """Translate the budget once the rate of labels is known."""
        span = self._latest - self._first
        if self._between != _FIRST_BETWEEN or self._labels < _RATE_LABELS or span <= 0:
            return
        rate = self._labels / (span / 1000)
        between = max(1_000.0, events_between_false_alarms(rate, self.facts.false_alarms_per_30_days))
        self._between = float(f"{between:.6g}")
        detector = self._detector.detector.with_budget(self._between)
        self._detector = LatchedDetector(detector)

    def _raise(self, alarm: Alarm, moment: DriftMoment) -> None:
        known = self.alarm
        if known is not None and known.cleared is None:
            self.alarm = msgspec.structs.replace(known, times=known.times + 1, last=moment)
            return
        began = msgspec.structs.replace(moment, events=alarm.change_point)
        self.alarm = DriftAlarm(
            change=alarm.change,
            detail=alarm.detail,
            evidence=round(alarm.evidence, 4),
            raised=moment,
            change_point=began,
            explanation=f"{alarm.detail}: a score no longer means what it meant",
        )

    def report(self, *, topic: str, partition: int, next_offset: int, now: int) -> DriftReport:
        """Return what is known now, as a report of the window of the latest label."""
        evidence = self._detector.detector.evidence[CHANNEL]
        start = self.facts.window_of(self._latest)
        labels = sum(self._window)
        return DriftReport(
            model=self.facts.model,
            model_version=self.facts.version,
            window=Window(start=start, end=start + self.facts.window),
            source_topic=topic,
            partition=partition,
            first_offset=0,
            next_offset=next_offset,
            written_at=now,
            events=labels,
            baseline_rows=sum(self._baseline.labels),
            budget=DriftBudget(
                false_alarms_per_30_days=self.facts.false_alarms_per_30_days,
                events_per_30_days=self._between * self.facts.false_alarms_per_30_days,
                rate_from="measured",
                events_between_false_alarms=self._between,
                threshold=round(math.log10(self._between), 4),
                expected_false_alarms=round(self._labels / self._between, 4),
            ),
            channels=(self._channel(evidence),),
        )

    def _channel(self, evidence: float) -> DriftChannel:
        lows = ("0", *(f"{edge:g}" for edge in SCORE_EDGES))
        names = tuple(f"{what} from {low}" for low in lows for what in ("negative", "positive"))
        counts = zip(self._baseline.labels, self._baseline.positives, strict=True)
        reference = tuple(n for labels, positives in counts for n in (labels - positives, positives))
        return DriftChannel(
            name=CHANNEL,
            kind="boolean",
            source="labels",
            evidence=round(evidence, 4),
            peak=round(evidence, 4),
            alarm=self.alarm,
            bins=names,
            reference=reference,
            current=tuple(self._window),
        )


class ConceptBoard:
    """The watches of the models whose labels come to one partition of the log."""

    def __init__(self, states: dict[str, bytes]) -> None:
        self._states = states
        self._watches: dict[str, ConceptWatch] = {}

    def take(self, matured: Matured, facts: Facts, source: Source) -> None:
        """Take labels of a version; one without a label baseline is not watched."""
        watch = self._watch(facts)
        if watch is not None:
            watch.take(matured, source)

    def _watch(self, facts: Facts) -> ConceptWatch | None:
        key = f"{facts.model}/{facts.version}"
        if key not in self._watches and facts.label_baseline is not None:
            self._watches[key] = ConceptWatch(facts, self._states.get(key))
        return self._watches.get(key)

    def states(self) -> dict[str, bytes]:
        """Return the state of every watch, by model and version."""
        return self._states | {key: watch.snapshot() for key, watch in self._watches.items()}

    def changed(self) -> list[ConceptWatch]:
        """Return the watches that have changed since the last call."""
        changed = [watch for watch in self._watches.values() if watch.changed]
        for watch in changed:
            watch.changed = False
        return changed
