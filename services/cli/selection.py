"""Which dead letters a person means: by place, by reason, by age."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

import click

from services.cli.letters import Letter

_PLACE = re.compile(r"(?P<partition>\d+):(?P<first>\d+)(?:-(?P<last>\d+))?")
_AGO = re.compile(r"(?P<count>\d+)(?P<unit>[smhd])")
_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass(frozen=True, slots=True)
class Place:
    """Offsets ``first`` to ``last``, both included, of one partition of the dead-letters topic."""

    partition: int
    first: int
    last: int

    def __contains__(self, letter: Letter) -> bool:
        return letter.partition == self.partition and self.first <= letter.offset <= self.last


@dataclass(frozen=True, slots=True)
class Selection:
    """Conditions that a letter must all meet; the empty selection is every letter.

    Attributes
    ----------
    places
        It lies in one of them, where any are given.
    error, field
        Error class and field at fault; ``features.hour`` and ``hour`` both name that feature.
    since
        Written at this moment or later, epoch milliseconds.
    """

    places: tuple[Place, ...] = ()
    error: str | None = None
    field: str | None = None
    since: int | None = None

    def __contains__(self, letter: Letter) -> bool:
        reason = letter.reason
        if self.places and not any(letter in place for place in self.places):
            return False
        if self.since is not None and letter.timestamp < self.since:
            return False
        if self.error is not None and (reason is None or reason.error != self.error):
            return False
        fields = (self.field, f"features.{self.field}")
        return self.field is None or (reason is not None and reason.field in fields)


def parse_place(text: str) -> Place:
    """Return the place in ``PARTITION:OFFSET`` or ``PARTITION:FIRST-LAST``.

    Examples
    --------
    >>> parse_place("3:40-55")
    Place(partition=3, first=40, last=55)
    >>> parse_place("3:40")
    Place(partition=3, first=40, last=40)
    """
    match = _PLACE.fullmatch(text)
    if match is None:
        raise click.BadParameter(
            f"{text!r} is neither PARTITION:OFFSET (0:12) nor a range of offsets (0:12-40)."
        )
    first = int(match["first"])
    last = int(match["last"]) if match["last"] else first
    if last < first:
        raise click.BadParameter(f"{text!r} ends before it begins.")
    return Place(int(match["partition"]), first, last)


def parse_moment(text: str, now: int) -> int:
    """Return a moment as epoch milliseconds: an age (``30m``, ``2h``, ``7d``) or an RFC 3339 time.

    Examples
    --------
    >>> parse_moment("2h", now=7_200_000)
    0
    >>> parse_moment("2026-01-01T00:00:00Z", now=0)
    1767225600000
    """
    age = _AGO.fullmatch(text)
    if age is not None:
        return now - int(age["count"]) * _UNIT_MS[age["unit"]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise click.BadParameter(
            f"{text!r} is neither an age (30m, 2h, 7d) nor a time with its offset (2026-01-31T08:00:00Z)."
        )
    return int(moment.timestamp() * 1000)
