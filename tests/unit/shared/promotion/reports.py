"""The shadow's reports as tests need them, made from rows of what two models said and what came true."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from shared.bundle.gates import GatesSpec
from shared.bundle.spec import FeatureSpec, ModelSpec, OutputSpec
from shared.messages import (
    Comparison,
    Example,
    Histogram,
    Judged,
    Quality,
    Ranking,
    Segment,
    ShadowReport,
    Sums,
    Timing,
    Window,
)

SPEC = ModelSpec(
    name="flights",
    version="1",
    task="binary",
    classes=("no", "yes"),
    output=OutputSpec(score="y"),
    features=(FeatureSpec(name="carrier", kind="categorical", categories=("AA", "UA", "WN")),),
    segments=("carrier",),
)
GATES = GatesSpec(
    rule="non-inferior",
    margin=0.01,
    min_events=1_000,
    min_labels=500,
    guard_segments=("carrier",),
    segment_margin=0.03,
    min_segment_labels=100,
    max_error_rate=0.01,
    probation=3_600,
)
HOUR = 3_600_000


def sums(values: np.ndarray) -> Sums:
    return Sums(n=len(values), total=float(values.sum()), squares=float((values**2).sum()))


def judged(champion: np.ndarray, candidate: np.ndarray, truth: np.ndarray) -> Judged:
    theirs, ours = (champion - truth) ** 2, (candidate - truth) ** 2
    correct = [((s >= 0.5) == truth).astype(float) for s in (champion, candidate)]
    loss = [-np.log(np.clip(np.where(truth == 1, s, 1 - s), 0.001, 0.999)) for s in (champion, candidate)]
    return Judged(
        pairs=len(truth),
        wins=int((ours < theirs).sum()),
        losses=int((ours > theirs).sum()),
        ties=int((ours == theirs).sum()),
        brier=sums(theirs - ours),
        log_loss=sums(loss[0] - loss[1]),
        correct=sums(correct[1] - correct[0]),
        champion=Quality(
            correct=int(correct[0].sum()), brier=float(theirs.sum()), log_loss=float(loss[0].sum())
        ),
        candidate=Quality(
            correct=int(correct[1].sum()), brier=float(ours.sum()), log_loss=float(loss[1].sum())
        ),
    )


def comparison(champion: np.ndarray, candidate: np.ndarray) -> Comparison:
    agreed = int(((champion >= 0.5) == (candidate >= 0.5)).sum())
    return Comparison(both=len(champion), agreed=agreed, difference=sums(candidate - champion))


def report(**fields: Any) -> ShadowReport:
    """A report with nothing in it but what is given."""
    defaults: dict[str, Any] = {
        "model": "flights",
        "model_version": "2",
        "champion_version": "1",
        "basis": 5,
        "window": Window(start=HOUR, end=2 * HOUR),
        "source_topic": "events",
        "partition": 0,
        "first_offset": 0,
        "next_offset": 1,
        "written_at": 10,
        "final": True,
    }
    return ShadowReport(**(defaults | fields))


def world(n: int, seed: int, *, worse_in: str = "", worse_by: float = 0.0, noise: float = 0.05) -> Any:
    """Carriers, truth and the scores of two models: equally far from it, but in one segment."""
    rng = np.random.default_rng(seed)
    carrier = rng.choice(["AA", "UA", "WN"], n, p=[0.6, 0.3, 0.1])
    probability = rng.beta(1, 3, n)
    truth = (rng.random(n) < probability).astype(float)
    champion = np.clip(probability + rng.normal(0, noise, n), 0.001, 0.999)
    candidate = np.clip(probability + rng.normal(0, noise, n), 0.001, 0.999)
    shifted = np.clip(1 - candidate * 0.5, 0.001, 0.999) * worse_by + candidate * (1 - worse_by)
    return carrier, truth, champion, np.where(carrier == worse_in, shifted, candidate)


def both_reports(data: Any, **fields: Any) -> list[ShadowReport]:
    """One report of events and one of labels over the same rows."""
    carrier, truth, champion, candidate = data
    segments = {
        name: Segment(
            judged=judged(champion[carrier == name], candidate[carrier == name], truth[carrier == name])
        )
        for name in sorted(set(carrier.tolist()))
    }
    timing = Timing(events=len(truth), seconds=len(truth) * 1e-5)
    return [
        report(
            comparison=comparison(champion, candidate),
            champion_timing=timing,
            candidate_timing=timing,
            **fields,
        ),
        report(
            source_topic="labelled",
            judged=judged(champion, candidate, truth),
            segments={"carrier": segments},
            **fields,
        ),
    ]


EDGES = tuple(i / 20 for i in range(1, 20))
WIDE = tuple(i / 20 for i in range(-19, 20))


def histogram(values: np.ndarray, edges: tuple[float, ...]) -> Histogram:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return Histogram(edges=edges, counts=tuple(counts.tolist()))


def histograms(champion: np.ndarray, candidate: np.ndarray, waited: np.ndarray, late: np.ndarray) -> Any:
    return {
        "difference": histogram(candidate - champion, WIDE),
        "champion_scores": histogram(champion, EDGES),
        "candidate_scores": histogram(candidate, EDGES),
        "champion_latency": histogram(waited, EDGES),
        "candidate_latency": histogram(late, EDGES),
    }


def segment(*columns: np.ndarray) -> Segment:
    counts = {name: found.counts for name, found in histograms(*columns).items()}
    return Segment(comparison=comparison(*columns[:2]), **counts)


def ranking(champion: np.ndarray, candidate: np.ndarray, truth: np.ndarray) -> Ranking:
    named = {
        f"{who}_{what}": histogram(scores[truth == value], EDGES).counts
        for who, scores in (("champion", champion), ("candidate", candidate))
        for what, value in (("positive", 1), ("negative", 0))
    }
    joint = {}
    for what, value in (("positive", 1), ("negative", 0)):
        pairs = [np.searchsorted(EDGES, s[truth == value], side="right") for s in (champion, candidate)]
        cells, counts = np.unique(np.column_stack(pairs), axis=0, return_counts=True)
        joint[f"joint_{what}"] = tuple(
            (int(a), int(b), int(n)) for (a, b), n in zip(cells, counts, strict=True)
        )
    return Ranking(edges=EDGES, joint_edges=EDGES, **named, **joint)


def story(data: Any, windows: int = 12, **fields: Any) -> list[ShadowReport]:
    """The same rows as :func:`both_reports` makes of them, hour by hour, with everything a report has."""
    found = []
    for number, rows in enumerate(np.array_split(np.arange(len(data[1])), windows)):
        carrier, truth, champion, candidate = (column[rows] for column in data)
        events, labels = both_reports(
            (carrier, truth, champion, candidate),
            window=Window(start=(number + 400_000) * HOUR, end=(number + 400_001) * HOUR),
            **fields,
        )
        far = np.argsort(-np.abs(candidate - champion))[:3]
        flips = {"no": {"yes": int(((champion < 0.5) & (candidate >= 0.5)).sum())}}
        flips["yes"] = {"no": int(((champion >= 0.5) & (candidate < 0.5)).sum())}
        slow = np.linspace(0.01, 0.02, len(rows)), np.linspace(0.1, 0.4, len(rows))
        events = msgspec.structs.replace(
            events,
            comparison=msgspec.structs.replace(events.comparison, flips=flips),
            **histograms(champion, candidate, *slow),
            segments={
                "carrier": {
                    name: segment(*(values[carrier == name] for values in (champion, candidate, *slow)))
                    for name in sorted(set(carrier.tolist()))
                }
            },
            examples=tuple(
                Example(
                    event_id=f"flight-{rows[i]}",
                    partition=0,
                    offset=int(rows[i]),
                    occurred_at=number * HOUR,
                    champion_score=float(champion[i]),
                    candidate_score=float(candidate[i]),
                    champion_label="no",
                    candidate_label="yes",
                    segments={"carrier": str(carrier[i])},
                )
                for i in far
            ),
        )
        found += [events, msgspec.structs.replace(labels, ranking=ranking(champion, candidate, truth))]
    return found
