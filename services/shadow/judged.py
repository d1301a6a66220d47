"""The sums of one candidate against one champion over the labels of one window of one partition."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from services.shadow.judging import Loss, Pair
from services.shadow.segmented import MOST_VALUES, OTHER
from services.shadow.sides import Ints
from shared.messages import Judged, Quality, Ranking, Segment, ShadowReport, Sums, Window

RANK_EDGES: Final = tuple(
    sorted(
        {round(i / 100, 2) for i in range(1, 100)}
        | {round(10.0 ** (-e / 10), 9) for e in range(21, 61)}
        | {round(1 - 10.0 ** (-e / 10), 9) for e in range(21, 61)}
    )
)
"""Edges of the bins that AUC is computed from: hundredths, and ten a decade from 0.01 to 0.000001 of
either end."""

JOINT_EDGES: Final = (
    0.001, 0.003, 0.01, 0.02, 0.05, *(round(i / 20, 2) for i in range(2, 19)), 0.95, 0.98, 0.99, 0.997, 0.999,
)  # fmt: skip
"""Coarser edges of the joint counts."""

_FIXED_POINT: Final = 2**32
"""Losses are added up as whole numbers of 2**-32: exact to take back, and the same in any order. Errors of a
regression, which have no bound, are plain floats."""

_RANKS = np.array(RANK_EDGES)
_JOINTS = np.array(JOINT_EDGES)
_DIFFERENCES: Final = ("log_loss", "brier", "correct", "relative_error")


class Tally(msgspec.Struct):
    """Sums over pairs; every number is a whole one, in units of 2**-32 where it is a loss.

    Attributes
    ----------
    differences
        ``[sum, sum of squares]`` by what is compared.
    qualities
        ``[correct, log loss, Brier, absolute, squared]`` of the champion and of the candidate.
    """

    pairs: int = 0
    wins: int = 0
    losses: int = 0
    ties: int = 0
    differences: dict[str, list[Any]] = {}
    qualities: list[list[Any]] = []

    def add(self, pair: Pair, sign: int) -> None:
        """Count a pair, or with ``sign`` -1 take it back."""
        champion, candidate = pair.champion_loss, pair.candidate_loss
        self.pairs += sign
        self.wins += sign * (candidate.decisive < champion.decisive)
        self.losses += sign * (candidate.decisive > champion.decisive)
        self.ties += sign * (candidate.decisive == champion.decisive)
        for name, value in _differences(champion, candidate).items():
            sums = self.differences.setdefault(name, [0, 0])
            sums[0] += sign * _fixed(value)
            sums[1] += sign * _fixed(value * value)
        if not self.qualities:
            self.qualities = [[0] * 5, [0] * 5]
        for quality, lost in zip(self.qualities, (champion, candidate), strict=True):
            quality[0] += sign * lost.correct
            quality[1] += sign * _fixed(lost.log_loss)
            quality[2] += sign * _fixed(lost.brier)
            quality[3] += sign * lost.absolute
            quality[4] += sign * lost.absolute**2

    def message(self) -> Judged:
        """Return the sums as a report carries them."""
        qualities = self.qualities or [[0] * 5, [0] * 5]
        return Judged(
            pairs=self.pairs,
            wins=self.wins,
            losses=self.losses,
            ties=self.ties,
            champion=_quality(qualities[0]),
            candidate=_quality(qualities[1]),
            **{
                name: Sums(
                    n=self.pairs,
                    total=int(self.differences[name][0]) / _FIXED_POINT,
                    squares=int(self.differences[name][1]) / _FIXED_POINT,
                )
                for name in _DIFFERENCES
                if name in self.differences
            },
        )


class JudgedCell(msgspec.Struct):
    """One candidate, champion and window of the label's time."""

    model: str
    version: str
    champion: str
    start: int
    window: int
    first_offset: int
    tally: Tally
    segments: dict[str, dict[str, Tally]] = {}
    ranks: list[Ints] = []
    joint: list[Ints] = []
    basis: int = 0

    def add(self, pair: Pair, sign: int, offset: int) -> None:
        """Count a pair, or with ``sign`` -1 take it back."""
        self.first_offset = min(self.first_offset, offset)
        self.tally.add(pair, sign)
        for feature, text in pair.segments.items():
            values = self.segments.setdefault(feature, {})
            name = text if text in values or len(values) < MOST_VALUES else OTHER
            values.setdefault(name, Tally()).add(pair, sign)
        if pair.positive is not None:
            self._rank(pair, sign)

    def _rank(self, pair: Pair, sign: int) -> None:
        if not self.ranks:
            self.ranks = [np.zeros(len(RANK_EDGES) + 1, dtype=np.int64) for _ in range(4)]
            self.joint = [np.zeros((len(JOINT_EDGES) + 1) ** 2, dtype=np.int64) for _ in range(2)]
        scores = np.array([pair.champion_score, pair.candidate_score])
        fine = np.searchsorted(_RANKS, scores, side="right")
        coarse = np.searchsorted(_JOINTS, scores, side="right")
        truth = 0 if pair.positive else 1
        self.ranks[truth][fine[0]] += sign
        self.ranks[2 + truth][fine[1]] += sign
        self.joint[truth][coarse[0] * (len(JOINT_EDGES) + 1) + coarse[1]] += sign

    def report(self, **envelope: Any) -> ShadowReport:
        """Return the report of this cell; ``envelope`` is what only its partition knows."""
        return ShadowReport(
            model=self.model,
            model_version=self.version,
            champion_version=self.champion,
            basis=self.basis,
            window=Window(start=self.start, end=self.start + self.window),
            first_offset=self.first_offset,
            judged=self.tally.message(),
            ranking=self._ranking(),
            segments={
                feature: {text: Segment(judged=tally.message()) for text, tally in values.items()}
                for feature, values in self.segments.items()
            },
            **envelope,
        )

    def _ranking(self) -> Ranking:
        if not self.ranks:
            return Ranking()
        champion_positive, champion_negative, candidate_positive, candidate_negative = (
            tuple(counts.tolist()) for counts in self.ranks
        )
        joint_positive, joint_negative = map(_cells, self.joint)
        return Ranking(
            edges=RANK_EDGES,
            champion_positive=champion_positive,
            champion_negative=champion_negative,
            candidate_positive=candidate_positive,
            candidate_negative=candidate_negative,
            joint_edges=JOINT_EDGES,
            joint_positive=joint_positive,
            joint_negative=joint_negative,
        )


def _differences(champion: Loss, candidate: Loss) -> dict[str, float]:
    """Return the champion's losses minus the candidate's, each bounded."""
    both = champion.absolute + candidate.absolute
    return {
        "log_loss": champion.log_loss - candidate.log_loss,
        "brier": champion.brier - candidate.brier,
        "correct": float(candidate.correct) - float(champion.correct),
        "relative_error": (champion.absolute - candidate.absolute) / both if both else 0.0,
    }


def _fixed(value: float) -> int:
    return round(value * _FIXED_POINT)


def _quality(sums: list[Any]) -> Quality:
    correct, log_loss, brier, absolute, squared = sums
    return Quality(
        correct=int(correct),
        log_loss=int(log_loss) / _FIXED_POINT,
        brier=int(brier) / _FIXED_POINT,
        absolute_error=float(absolute),
        squared_error=float(squared),
    )


def _cells(joint: Ints) -> tuple[tuple[int, int, int], ...]:
    width = len(JOINT_EDGES) + 1
    at = np.flatnonzero(joint)
    return tuple(zip((at // width).tolist(), (at % width).tolist(), joint[at].tolist(), strict=True))
