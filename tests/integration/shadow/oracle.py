"""The comparison computed again from the raw topics alone, record by record, in plain Python."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from typing import Any

import msgspec

from services.shadow.binning import DIFFERENCE_EDGES
from shared.histograms import PROBABILITY_EDGES
from shared.messages import ShadowReport
from tests.integration.shadow.conftest import Stage
from tests.streams import read_all

Truth = dict[str, Any]


def empty() -> Truth:
    return {
        "counts": Counter(), "agreed": 0, "flips": Counter(), "difference": 0.0, "squares": 0.0,
        "segments": defaultdict(Counter),
    }  # fmt: skip


async def recomputed(stage: Stage, candidate: str, champion: str) -> Truth:
    """What the reports of a pair must add up to, where the candidate was asked about every event."""
    events = await read_all(stage.client, stage.topics.events)
    predictions = await read_all(stage.client, stage.topics.predictions)
    shadowed = await read_all(stage.client, stage.topics.shadow_predictions)
    truth = empty()
    for partition, records in events.items():
        ours = _by_offset(shadowed[partition], candidate)
        theirs = _by_offset(predictions[partition], None)
        for record in records:
            _judge(truth, ours.get(record.offset), theirs.get(record.offset), champion)
    return truth


def _by_offset(records: list[Any], version: str | None) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for record in records:
        prediction = msgspec.json.decode(record.value)
        if version is None or prediction["model_version"] == version:
            offset = prediction["source"]["offset"]
            assert offset not in found or version is None, "a shadow prediction is there twice"
            found.setdefault(offset, prediction)
    return found


def _judge(truth: Truth, ours: Any, theirs: Any, champion: str) -> None:
    if theirs is not None and theirs.get("canary"):
        kind = "canary"
    elif theirs is not None:
        kind = "both" if ours is not None else "champion_only"
    else:
        kind = "candidate_only" if ours is not None else "neither"
    truth["counts"][kind] += 1
    if ours is not None and "f1" in ours.get("segments", {}):
        truth["segments"][ours["segments"]["f1"]][kind] += 1
    if kind != "both":
        return
    assert theirs["model_version"] == champion
    if ours["label"] == theirs["label"]:
        truth["agreed"] += 1
    else:
        truth["flips"][theirs["label"], ours["label"]] += 1
    difference = ours["score"] - theirs["score"]
    if "f1" in ours.get("segments", {}):
        segment = truth["segments"][ours["segments"]["f1"]]
        segment["agreed"] += ours["label"] == theirs["label"]
        segment["difference", bisect_right(DIFFERENCE_EDGES, difference)] += 1
        segment["champion_scores", bisect_right(PROBABILITY_EDGES, theirs["score"])] += 1
        segment["candidate_scores", bisect_right(PROBABILITY_EDGES, ours["score"])] += 1
    truth["difference"] += difference
    truth["squares"] += difference * difference


def added_up(reports: list[ShadowReport], candidate: str, champion: str) -> Truth:
    """What the reports of a pair add up to."""
    total = empty()
    for report in reports:
        if (report.model_version, report.champion_version) != (candidate, champion):
            continue
        comparison = report.comparison
        for kind in ("both", "champion_only", "candidate_only", "neither", "canary"):
            total["counts"][kind] += getattr(comparison, kind)
        total["agreed"] += comparison.agreed
        for before, by in comparison.flips.items():
            for after, count in by.items():
                total["flips"][before, after] += count
        total["difference"] += comparison.difference.total
        total["squares"] += comparison.difference.squares
        for text, segment in report.segments.get("f1", {}).items():
            for kind in ("both", "champion_only", "candidate_only", "neither", "canary"):
                total["segments"][text][kind] += getattr(segment.comparison, kind)
            total["segments"][text]["agreed"] += segment.comparison.agreed
            for name in ("difference", "champion_scores", "candidate_scores"):
                for place, count in enumerate(getattr(segment, name)):
                    total["segments"][text][name, place] += count
    return total


def same(found: Truth, expected: Truth) -> bool:
    """Whether all counts are identical and the sums are, to a billionth an event."""
    segments = {text: +counts for text, counts in found["segments"].items()}
    near = 1e-9 * max(1, expected["counts"]["both"])
    return (
        +found["counts"] == +expected["counts"]
        and found["agreed"] == expected["agreed"]
        and found["flips"] == expected["flips"]
        and segments == {text: +counts for text, counts in expected["segments"].items()}
        and abs(found["difference"] - expected["difference"]) < near
        and abs(found["squares"] - expected["squares"]) < near
    )
