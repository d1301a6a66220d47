"""Concept drift: does a score still mean what it meant? A model's labels in one stream, from all partitions.

Labels whose horizon has passed are sent on, as the bin of their score and whether they were positive (of a
regression, as the bin of their residual given the prediction), to the one partition of the log that the
model's name leads to. There a detector bets on them in the order of the log, so that the evidence of all
partitions adds up, and a replay raises the same alarms.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.performance.facts import Facts
from services.performance.given import given_of
from services.performance.packets import Matured
from shared.drift.adaptive_window import AdaptiveWindow
from shared.drift.alarm import Alarm
from shared.drift.detector import Detector
from shared.drift.latch import LatchedDetector
from shared.drift.second_opinion import SecondOpinion
from shared.drift.slots import SLOT, Slots
from shared.drift.stream.budget import Rate, events_between, on_common_scale, share_of
from shared.drift.stream.places import Place, Places
from shared.logs import get_logger
from shared.messages import DriftReport, Source, Window
from shared.messages.drift import DriftAlarm, DriftBudget, DriftChannel, DriftOpinion

log = get_logger(__name__)

CHANNEL: Final = "label given score"
ERROR: Final = "error"
_RATE_LABELS: Final = 2_000
"""So many labels are counted before their rate is taken for the model's."""

_FIRST_BETWEEN: Final = 1e6
_LEAST_BETWEEN: Final = 1e3


class _State(msgspec.Struct, array_like=True):
    labels: int
    latest: int
    between: float
    slots: bytes
    detector: bytes
    alarm: DriftAlarm | None
    window_labels: list[int]
    rate: Rate
    places: list[list[Place]]
    ended: int
    opinion: bytes = b""


class ConceptWatch:
    """Watches one version's labels given its scores.

    The channel has its share of the model's false-alarm budget, like every other one, translated by the
    rate of labels in event time. Until 2,000 labels have told that, a million labels lie between two false
    alarms of the model.

    Parameters
    ----------
    facts
        Of a version with a label baseline, or with one of residuals.
    raw
        From a former :meth:`snapshot`, else None. What another version of this program wrote is not gone on
        with: the watch begins from nothing, and the log says so.
    """

    def __init__(self, facts: Facts, raw: bytes | None) -> None:
        given = given_of(facts)
        assert given is not None
        self.facts = facts
        self._given = given
        self._slots = given.slots()
        self._labels, self._latest, self._ended = 0, -1, 0
        self._rate = Rate(least=_RATE_LABELS)
        self._places = Places(0, [])
        self._window = [0] * given.cells
        self.alarm: DriftAlarm | None = None
        self._opinion = SecondOpinion(AdaptiveWindow)
        self._detector = self._new_detector(self._own)
        if raw is not None:
            self._resume(raw)
        self.changed = False

    @property
    def _between(self) -> float:
        """A of the whole model, in labels."""
        rate = self._rate.per_30_days
        between = (
            _FIRST_BETWEEN if rate is None else events_between(rate, self.facts.false_alarms_per_30_days)
        )
        return float(f"{max(between, _LEAST_BETWEEN):.6g}")

    @property
    def _own(self) -> float:
        """A of the channel's own detector."""
        return share_of(self._between, 1, self.facts.sharing)

    def _new_detector(self, own: float) -> LatchedDetector:
        return LatchedDetector(Detector([self._given.bets()], own, "labels"))

    def _resume(self, raw: bytes) -> None:
        """Go on with the evidence as it was; that of other bets is forgotten, and the alarm with it."""
        try:
            state = msgspec.msgpack.decode(raw, type=_State)
        except msgspec.DecodeError as error:
            self._say_nothing_is_left(error)
            return
        if state.opinion:
            self._opinion.restore(state.opinion)
        self._labels, self._latest, self._ended = state.labels, state.latest, state.ended
        self._rate, self._window = state.rate, state.window_labels
        try:
            self._slots.restore(state.slots)
            detector = self._new_detector(state.between)
            detector.restore(state.detector)
        except ValueError as error:
            self._slots, self._ended = self._given.slots(), 0
            self._detector, self._opinion = self._new_detector(self._own), SecondOpinion(AdaptiveWindow)
            self._say_nothing_is_left(error)
            return
        self._detector = detector if state.between == self._own else detector.with_budget(self._own)
        self._places = Places(self._ended, [list(level) for level in state.places])
        self.alarm = state.alarm

    def _say_nothing_is_left(self, error: Exception) -> None:
        log.warning(
            "drift detectors begin from nothing: their state cannot be gone on with",
            model=self.facts.model,
            model_version=self.facts.version,
            channel=CHANNEL,
            error=str(error),
        )

    def snapshot(self) -> bytes:
        """Return the state as bytes."""
        return msgspec.msgpack.encode(
            _State(
                self._labels,
                self._latest,
                self._detector.detector.events_between_alarms,
                self._slots.snapshot(),
                self._detector.snapshot(),
                self.alarm,
                self._window,
                self._rate,
                self._places.snapshot(),
                self._ended,
                self._opinion.snapshot(),
            )
        )

    def take(self, matured: Matured, source: Source) -> None:
        """Take labels whose horizon has passed."""
        cells = np.frombuffer(matured.cells, np.uint8).astype(np.int64)
        if self._latest >= 0 and self.facts.window_of(matured.occurred_at) > self.facts.window_of(
            self._latest
        ):
            self._window = [0] * self._given.cells
        counts = np.bincount(cells, minlength=self._given.cells)
        self._window = (np.array(self._window) + counts).tolist()
        self._latest = max(self._latest, matured.occurred_at)
        self._labels += len(cells)
        if self._rate.take(matured.occurred_at, len(cells)):
            self._detector = self._detector.with_budget(self._own)
        slots = self._slots.add(self._given.rows(cells))
        for _ in range(len(slots)):
            self._ended += 1
            seen = self._ended * SLOT
            self._places.add(seen, matured.occurred_at, source.offset, source.topic, source.partition)
        self._opinion.update(self._errors(slots))
        alarms, changes = self._detector.update(slots)
        for alarm in alarms:
            self._raise(alarm)
        for change in changes:
            if change.status == "cleared" and self.alarm is not None:
                self.alarm = msgspec.structs.replace(self.alarm, cleared=self._places.at(change.event))
        self.changed = True

    def _errors(self, slots: Slots) -> NDArray[np.float64]:
        """Return the mean error of each slot; NaN where no label can tell."""
        errors = self._given.errors
        told = slots.counts[:, 0, : len(errors)]
        some = told.sum(axis=1)
        means: NDArray[np.float64] = np.where(some > 0, told @ errors / np.maximum(some, 1), np.nan)
        return means

    def _said(self) -> DriftOpinion | None:
        """Return what ADWIN says of the error, which needs no baseline; None before it has seen any."""
        opinion, last = self._opinion, self._opinion.last_change
        if not opinion.width and last is None:
            return None
        return DriftOpinion(
            channel=ERROR,
            width=opinion.width,
            changes=opinion.changes,
            last_change=None if last is None else self._places.at(last),
        )

    def _raise(self, alarm: Alarm) -> None:
        known, evidence = self.alarm, round(self._common(alarm.evidence), 4)
        moment = self._places.at(alarm.event)
        if known is not None and known.cleared is None:
            strongest = max(known.evidence, evidence)
            self.alarm = msgspec.structs.replace(
                known, times=known.times + 1, last=moment, evidence=strongest
            )
            return
        self.alarm = DriftAlarm(
            change=alarm.change,
            detail=alarm.detail,
            evidence=evidence,
            raised=moment,
            change_point=self._places.at(alarm.change_point),
            explanation=f"{alarm.detail}: {self._given.meaning}",
        )

    def _common(self, evidence: float) -> float:
        """Return the detector's evidence on the scale where the whole model alarms at log10(A)."""
        return on_common_scale(evidence, 1, self.facts.sharing)

    def report(self, *, topic: str, partition: int, next_offset: int, now: int) -> DriftReport:
        """Return what is known now, as a report of the window of the latest label."""
        evidence = self._common(self._detector.detector.evidence[CHANNEL])
        between = self._between
        start = self.facts.window_of(self._latest)
        labels = sum(self._window)
        floor = round(self._given.floor, 4)
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
            baseline_rows=self._given.labels,
            budget=DriftBudget(
                false_alarms_per_30_days=self.facts.false_alarms_per_30_days,
                events_per_30_days=between * self.facts.false_alarms_per_30_days,
                rate_from="measured",
                events_between_false_alarms=between,
                threshold=round(math.log10(between), 4),
                expected_false_alarms=round(self._labels / self._own, 4),
                floor=floor,
            ),
            second_opinion=self._said(),
            channels=(self._channel(evidence, floor),),
        )

    def _channel(self, evidence: float, floor: float) -> DriftChannel:
        given = self._given
        return DriftChannel(
            name=CHANNEL,
            kind=given.kind,
            source="labels",
            evidence=round(evidence, 4),
            peak=round(evidence, 4),
            floor=floor,
            alarm=self.alarm,
            bins=given.names,
            reference=given.reference,
            current=tuple(given.current(np.array(self._window)).tolist()),
        )


class ConceptBoard:
    """The watches of the models whose labels come to one partition of the log."""

    def __init__(self, states: dict[str, bytes]) -> None:
        self._states = states
        self._watches: dict[str, ConceptWatch] = {}

    def take(self, matured: Matured, facts: Facts, source: Source) -> None:
        """Take labels of a version; one whose bundle knows nothing to hold them against is not watched."""
        watch = self._watch(facts)
        if watch is not None:
            watch.take(matured, source)

    def _watch(self, facts: Facts) -> ConceptWatch | None:
        key = f"{facts.model}/{facts.version}"
        if key not in self._watches and given_of(facts) is not None:
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
