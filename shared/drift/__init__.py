"""Drift detection without Kafka: baseline, bins, bets, detector and figures. See docs/drift-detection.md."""

from shared.drift.alarm import Alarm, events_between_false_alarms
from shared.drift.alternatives import Bets, Change, channel_bets
from shared.drift.baseline import Baseline, decode_baseline
from shared.drift.channel import ChannelBaseline, Kind
from shared.drift.detector import Detector
from shared.drift.fitting import fit_baseline
from shared.drift.latch import Latch, Latched, LatchedDetector, Transition
from shared.drift.slots import SlotCounter, Slots, merge

__all__ = [
    "Alarm",
    "Baseline",
    "Bets",
    "Change",
    "ChannelBaseline",
    "Detector",
    "Kind",
    "Latch",
    "Latched",
    "LatchedDetector",
    "SlotCounter",
    "Slots",
    "Transition",
    "channel_bets",
    "decode_baseline",
    "events_between_false_alarms",
    "fit_baseline",
    "merge",
]
