"""What champion and candidate answered, in figures: the same ones of the whole, a segment and a window."""

from __future__ import annotations

from typing import Final, Self

import msgspec
import numpy as np

from shared.drift.figures import psi
from shared.messages import Comparison, Histogram, Segment
from shared.promotion.evidence import Sums

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
_HISTOGRAMS: Final = (
    "difference", "champion_scores", "candidate_scores", "champion_latency", "candidate_latency",
)  # fmt: skip


class Difference(msgspec.Struct, frozen=True):
    """The candidate's score minus the champion's.

    Attributes
    ----------
    quantiles
        From the histogram, by name (``0.05`` to ``0.95``); empty where there is none.
    histogram
        None from releases that kept none by segment.
    """

    mean: float
    deviation: float
    quantiles: dict[str, float]
    histogram: Histogram | None


class Latency(msgspec.Struct, frozen=True):
    """Seconds from an event's append to the answer."""

    p50: float
    p99: float


class Answers(msgspec.Struct, frozen=True):
    """Figures of some events; None is what there is nothing to say of.

    Attributes
    ----------
    asked
        Events that both were asked about: all but those a canary answered.
    champion_error_rate, candidate_error_rate
        Share of them that each gave no answer to.
    """

    asked: int
    pairs: int
    agreement: float | None
    flips: dict[str, dict[str, int]]
    score_difference: Difference | None
    population_stability_index: float | None
    champion_error_rate: float | None
    candidate_error_rate: float | None
    champion_latency: Latency | None
    candidate_latency: Latency | None

    @classmethod
    def of(cls, sums: Sums) -> Self:
        """Return the figures of a whole comparison, or of one window of it."""
        histograms = {name: getattr(sums, name) for name in _HISTOGRAMS}
        return cls._of(sums.comparison, histograms)

    @classmethod
    def of_segment(cls, segment: Segment, sums: Sums) -> Self:
        """Return the figures of a segment of a comparison, whose histograms have the edges."""
        histograms: dict[str, Histogram | None] = {}
        for name in _HISTOGRAMS:
            whole, counts = getattr(sums, name), getattr(segment, name)
            histograms[name] = Histogram(edges=whole.edges, counts=counts) if whole and counts else None
        return cls._of(segment.comparison, histograms)

    @classmethod
    def _of(cls, c: Comparison, histograms: dict[str, Histogram | None]) -> Self:
        asked = c.both + c.champion_only + c.candidate_only + c.neither
        return cls(
            asked=asked,
            pairs=c.both,
            agreement=c.agreed / c.both if c.both else None,
            flips=c.flips,
            score_difference=_difference(c, histograms["difference"]),
            population_stability_index=_stability(
                histograms["champion_scores"], histograms["candidate_scores"]
            ),
            champion_error_rate=(c.candidate_only + c.neither) / asked if asked else None,
            candidate_error_rate=(c.champion_only + c.neither) / asked if asked else None,
            champion_latency=_latency(histograms["champion_latency"]),
            candidate_latency=_latency(histograms["candidate_latency"]),
        )


def _difference(c: Comparison, histogram: Histogram | None) -> Difference | None:
    d = c.difference
    if not d.n:
        return None
    mean = d.total / d.n
    known = histogram is not None and any(histogram.counts)
    return Difference(
        mean,
        max(d.squares / d.n - mean**2, 0.0) ** 0.5,
        {f"{q:g}": quantile(histogram, q) for q in QUANTILES} if known and histogram else {},
        histogram if known else None,
    )


def _stability(champion: Histogram | None, candidate: Histogram | None) -> float | None:
    """Return the population stability index of the candidate's scores against the champion's."""
    if champion is None or candidate is None or not any(champion.counts):
        return None
    return psi(np.array(champion.counts, dtype=float), np.array(candidate.counts, dtype=float))


def _latency(histogram: Histogram | None) -> Latency | None:
    if histogram is None or not any(histogram.counts):
        return None
    return Latency(quantile(histogram, 0.5), quantile(histogram, 0.99))


def quantile(histogram: Histogram, q: float) -> float:
    """Return a quantile, straight lines between the edges; beyond the outermost ones, that edge.

    Examples
    --------
    >>> quantile(Histogram(edges=(0.0, 1.0, 2.0), counts=(0, 5, 5, 0)), 0.25)
    0.5
    """
    counts = np.array(histogram.counts, dtype=float)
    reached = np.cumsum(counts)[:-1] / counts.sum()
    return float(np.interp(q, reached, histogram.edges))


COLUMNS: Final = (
    "Pairs", "Agreement", "Flips", "Score diff.", "5 to 95 %", "PSI",
    "Errors", "p50 ms", "p99 ms",
)  # fmt: skip
"""Of :func:`cells`; of the last three both figures are there, the champion's and the candidate's."""


BOTH: Final = (
    "Score differences are the candidate's minus the champion's. Of errors and latencies (from append to "
    "answer; the shadow runs behind) the champion's is on the left, the candidate's on the right."
)


def cells(answers: Answers) -> tuple[str, ...]:
    """Return the figures as the cells of one row."""
    d = answers.score_difference
    spread = f"{d.quantiles['0.05']:+.3f} {d.quantiles['0.95']:+.3f}" if d and d.quantiles else "-"
    errors = answers.champion_error_rate, answers.candidate_error_rate
    both = answers.champion_latency, answers.candidate_latency
    return (
        f"{answers.pairs:,}",
        _text(answers.agreement, ".1%"),
        f"{sum(n for by in answers.flips.values() for n in by.values()):,}",
        _text(d.mean if d else None, "+.4f"),
        spread,
        _text(answers.population_stability_index, ".4f"),
        " / ".join(_text(share, ".2%") for share in errors),
        " / ".join(_text(None if one is None else one.p50 * 1e3, ".0f") for one in both),
        " / ".join(_text(None if one is None else one.p99 * 1e3, ".0f") for one in both),
    )


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
