"""What a confidence sequence says at one moment."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and where the true value lies, at all moments at once, with probability ``1 - alpha``.

    Attributes
    ----------
    n
        Observations behind it.
    estimate
        The mean so far; NaN before the first observation.
    lower, upper
        Bounds in the same unit.
    exact
        Whether the promise holds from the first observation on, whatever the distribution (True), or in
        the limit of many observations (False).

    Examples
    --------
    >>> Interval(100, 0.02, 0.01, 0.03).above(0.0), Interval(100, 0.02, -0.01, 0.05).above(0.0)
    (True, False)
    """

    n: int
    estimate: float
    lower: float
    upper: float
    exact: bool = True

    def above(self, value: float) -> bool:
        """Return whether the true value is shown to be above ``value``."""
        return self.n > 0 and self.lower > value

    def below(self, value: float) -> bool:
        """Return whether the true value is shown to be below ``value``."""
        return self.n > 0 and self.upper < value


def unknown(bound: float, *, exact: bool = True) -> Interval:
    """Return what is known before the first observation: the difference is within its bounds.

    Examples
    --------
    >>> unknown(1.0).lower, unknown(1.0).upper
    (-1.0, 1.0)
    """
    return Interval(0, math.nan, -bound, bound, exact)
