"""Where a model stands in the registry: who is compared with whom, since when, and whether in probation."""

from __future__ import annotations

from dataclasses import dataclass

from shared.promotion.evidence import Pair
from shared.registry import Pointers


@dataclass(frozen=True, slots=True)
class Comparison:
    """One candidate against the champion.

    Attributes
    ----------
    basis
        The registry's revision at which it began. Every report names it, and whatever is decided on it is
        decided once.
    """

    pair: Pair
    basis: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A model in the registry at one moment.

    Attributes
    ----------
    pointers
        Champion, candidates and canary.
    comparisons
        One per candidate, in the order in which they became candidates.
    probation
        The old champion's comparison with the new one, after a promotion that kept it as candidate.
    """

    pointers: Pointers
    comparisons: tuple[Comparison, ...]
    probation: Comparison | None


def standing(pointers: Pointers) -> Standing:
    """Return where a model stands, whatever else its history says and however long that is.

    A candidate since the very change that made the champion is its predecessor: only a promotion that
    keeps it does both at once.

    Examples
    --------
    >>> now = Pointers(model="m", champion="2", candidates=("1", "3"), since={"1": 7, "3": 4},
    ...                revision=8, champion_revision=7)
    >>> found = standing(now)
    >>> [(c.pair.candidate, c.basis) for c in found.comparisons], found.probation.pair.candidate
    ([('1', 7), ('3', 7)], '1')
    """
    if pointers.champion is None:
        return Standing(pointers, (), None)
    found = tuple(
        Comparison(Pair(pointers.model, version, pointers.champion), pointers.basis(version))
        for version in pointers.candidates
    )
    kept = (c for c in found if pointers.since.get(c.pair.candidate) == pointers.champion_revision)
    return Standing(pointers, found, next(kept, None))
