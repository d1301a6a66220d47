"""Which alerts must come of a stream of reports: computed apart from the engine, one model at a time."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterator

from shared.messages import InferenceReport
from tests.reports import inference

_SECONDS = (5, 25, 45)

FAILING = {
    "name": "failing",
    "reports": "inference",
    "figure": "failure_ratio",
    "above": 0.05,
    "min_count": 100,
}


def oracle(reports: list[InferenceReport]) -> list[tuple[str, str, int]]:
    """Ids, statuses and times of rule FAILING, computed apart from the engine: one model at a time."""
    found: list[tuple[str, str, int]] = []
    firing: dict[str, str] = {}
    counts: dict[str, dict[int, tuple[int, int]]] = {}
    for report in reports:
        failures = report.errors.get("ProcessError", 0)
        windows = counts.setdefault(report.model, {})
        windows[report.window.start] = (failures, report.predictions + sum(report.errors.values()))
        for start in sorted(windows, reverse=True)[:3]:
            bad, all_ = windows[start]
            if all_ < 100:
                continue
            if bad / all_ > 0.05 and report.model not in firing:
                text = json.dumps(
                    ["alert", "failing", [["model", report.model]], start], separators=(",", ":")
                )
                firing[report.model] = hashlib.sha256(text.encode()).hexdigest()[:24]
                found.append((firing[report.model], "firing", report.written_at))
            elif bad / all_ <= 0.05 and report.model in firing:
                found.append((firing.pop(report.model), "resolved", report.written_at))
            break
    return found


def stream(seed: int, models: int = 6, minutes: int = 20) -> list[InferenceReport]:
    """Reports of several models, several a minute, cumulative, some of them bad."""
    per_minute = len(_SECONDS) * models
    return list(itertools.islice(endless(seed, models), minutes * per_minute))


def endless(seed: int, models: int = 6) -> Iterator[InferenceReport]:
    """The same reports minute after minute, without an end."""
    random_ = random.Random(seed)
    for minute in itertools.count():
        bad = {f"m{n}": random_.random() < 0.3 for n in range(models)}
        for second in _SECONDS:
            for model in random_.sample(sorted(bad), models):
                size = random_.choice((40, 300, 900)) + 20 * second
                failures = size // 8 if bad[model] else 0
                yield inference(model, minute, predictions=size, failures=failures, second=second)
