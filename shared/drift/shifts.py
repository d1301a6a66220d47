"""Changes of one feature, as a person writes them, to be tried on a history before going live."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.drift.values import as_category, as_numbers
from shared.errors import ValidationError

Change = Literal["move", "move-sd", "scale", "spread", "missing", "unseen", "category"]

NUMERIC: frozenset[Change] = frozenset({"move", "move-sd", "scale", "spread"})
_FORMS: tuple[tuple[str, Change], ...] = (
    (r"([+-][0-9.]+)sd", "move-sd"),
    (r"([+-][0-9.]+)", "move"),
    (r"x([0-9.]+)", "scale"),
    (r"spread x([0-9.]+)", "spread"),
    (r"([0-9.]+)% ?missing", "missing"),
    (r"([0-9.]+)% ?unseen", "unseen"),
)


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """A change to be tried on one feature.

    Attributes
    ----------
    feature
        Its name.
    change
        ``move`` (in its unit) or ``move-sd`` (in standard deviations), ``scale`` (times), ``spread`` (around
        its mean, times), ``missing`` or ``unseen`` (share of events), ``category`` (share of it, times).
    size
        How much.
    category
        For ``category``: which.
    text
        As it was written.
    """

    feature: str
    change: Change
    size: float
    category: str | None = None
    text: str = ""


def parse_shift(text: str) -> Shift:
    """Return a change written as ``FEATURE=CHANGE``.

    CHANGE is ``+0.5sd``, ``-12`` (in the feature's unit), ``x1.6``, ``"spread x1.5"``, ``5%missing`` or
    ``5%unseen``; ``FEATURE:CATEGORY=x2`` doubles the share of a category.

    Raises
    ------
    ValidationError
        It is written otherwise, or is a share of more than all events.

    Examples
    --------
    >>> parse_shift("delay=+0.5sd").size, parse_shift("origin:JFK=x2").category
    (0.5, 'JFK')
    >>> parse_shift("wind=150%missing")
    Traceback (most recent call last):
    shared.errors.ValidationError: 'wind=150%missing': a share lies above 0 % and is 100 % at most
    """
    name, separator, change = text.rpartition("=")
    for form, kind in _FORMS:
        found = re.fullmatch(form, change.strip())
        if not (separator and name and found):
            continue
        try:
            size = float(found[1])
        except ValueError:
            break
        if kind in ("missing", "unseen"):
            size /= 100
            if not 0 < size <= 1:
                raise ValidationError(f"{text!r}: a share lies above 0 % and is 100 % at most")
        feature, colon, category = name.partition(":")
        if kind == "scale" and colon:
            return Shift(feature=feature, change="category", size=size, category=category, text=text)
        return Shift(feature=name, change=kind, size=size, text=text)
    raise ValidationError(
        f"{text!r} is no change: write FEATURE=+0.5sd, FEATURE=-12, FEATURE=x1.6, 'FEATURE=spread x1.5', "
        "FEATURE=5%missing, FEATURE=5%unseen or FEATURE:CATEGORY=x2"
    )


def shifted(
    shift: Shift, values: Sequence[Any], spread: tuple[float, float], rng: np.random.Generator
) -> Any:
    """Return a feature's values after a change.

    Parameters
    ----------
    values
        Before it.
    spread
        Mean and standard deviation of the whole history of the feature.
    rng
        For the changes that strike some events at random.

    Raises
    ------
    ValidationError
        The share of a category cannot be multiplied so far.
    """
    size = shift.size
    if shift.change in NUMERIC:
        numbers = as_numbers(values)
        mean, sd = spread
        if shift.change == "scale":
            return numbers * size
        if shift.change == "spread":
            return mean + (numbers - mean) * size
        return numbers + (size * sd if shift.change == "move-sd" else size)
    struck = np.array(values, dtype=object)
    if shift.change == "category":
        return _reweighted(struck, str(shift.category), size, rng)
    struck[rng.random(len(struck)) < size] = None if shift.change == "missing" else "(never seen before)"
    return struck


def _reweighted(values: NDArray[Any], category: str, ratio: float, rng: np.random.Generator) -> NDArray[Any]:
    """Return values in which a category's share is ``ratio`` times as large, the others' in proportion."""
    mine = np.array([as_category(value) == category for value in values.tolist()])
    share = mine.mean()
    if share * ratio > 0.95 or share == 1:
        raise ValidationError(
            f"{category!r} has a share of {share:.0%}, which cannot be {ratio:g} times as large"
        )
    others = values[~mine]
    if ratio <= 1:
        gone = mine & (rng.random(len(values)) >= ratio)
        values[gone] = rng.choice(others, int(gone.sum()))
        return values
    wanted = share * (ratio - 1) / (1 - share)
    values[~mine & (rng.random(len(values)) < wanted)] = category
    return values
