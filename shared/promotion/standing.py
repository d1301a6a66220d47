"""Where a model stands in the registry: who is compared with whom, since when, and whether in probation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.promotion.evidence import Pair
from shared.registry import HistoryEntry, Pointers


@dataclass(frozen=True, slots=True)
class Comparison:
    """One candidate against the champion.

    Attributes
    ----------
    basis
        The registry's revision at which it began: the younger of the two changes that made the
        candidate and the champion. Whatever is decided on it is decided once.
    began_at
        Epoch milliseconds of that change.
    """

    pair: Pair
    basis: int
    began_at: int


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


def standing(pointers: Pointers, moments: Mapping[int, int], promotion: HistoryEntry | None) -> Standing:
    """Return where a model stands.

    Parameters
    ----------
    moments
        Epoch milliseconds of the changes, by revision, as far as they are known.
    promotion
        The change that made the champion.
    """
    if pointers.champion is None:
        return Standing(pointers, (), None)
    found = []
    for version in pointers.candidates:
        basis = max(pointers.since.get(version, 0), pointers.champion_revision)
        pair = Pair(pointers.model, version, pointers.champion)
        found.append(Comparison(pair, basis, moments.get(basis, 0)))
    kept = _kept(pointers, promotion)
    probation = next((c for c in found if c.pair.candidate == kept), None)
    return Standing(pointers, tuple(found), probation)


def _kept(pointers: Pointers, promotion: HistoryEntry | None) -> str | None:
    """Return the old champion, where the very change that made the new one kept it as candidate."""
    if promotion is None or promotion.action != "promote" or promotion.from_version is None:
        return None
    same = pointers.since.get(promotion.from_version) == pointers.champion_revision == promotion.revision
    return promotion.from_version if same else None


def standing_of(pointers: Pointers, history: Sequence[HistoryEntry]) -> Standing:
    """Return where a model stands, given the newest changes of its history."""
    entries = {entry.revision: entry for entry in history}
    moments = {revision: entry.at for revision, entry in entries.items()}
    return standing(pointers, moments, entries.get(pointers.champion_revision))
