"""The versions of the flight model that the demo knows, and how each is made."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a version is made.

    Attributes
    ----------
    name
        The first part of its version.
    months
        Of whose flights it is trained.
    delay_in_hours
        The mistake of the deliberately worse one: its training data has the departure delay in hours,
        while events bring minutes. Nothing in the bundle tells: the numbers fit every declared range.
    """

    name: str
    months: tuple[int, ...]
    delay_in_hours: bool = False

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the training rows."""
        rows = frame[frame["month"].isin(self.months)]
        return rows.assign(dep_delay=rows["dep_delay"] / 60) if self.delay_in_hours else rows

    def known(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return everything that had been seen by then: what the categories are taken from."""
        return frame[frame["month"] <= max(self.months)]


CHAMPION = Recipe("2013q1", (1, 2, 3))
CANDIDATE = Recipe("2013mayjune", (5, 6))
"""Retrained on the two months before the replay begins: it has seen none of the flights that it is shown."""
MISTAKE = Recipe("2013hours", (5, 6), delay_in_hours=True)
