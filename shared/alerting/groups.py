"""What one alert rests on: the things of its group in which the rule holds, or when they were heard of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from shared.alerting.judging import Finding
from shared.alerting.readings import Cell
from shared.alerting.vocabulary import Labels

Thing = tuple[Cell, Labels]
"""Who speaks of it, and what it is."""


class Key(NamedTuple):
    """A rule and what one alert of it is for."""

    rule: str
    group: Labels


@dataclass(slots=True)
class Group:
    """What is known of one group under one rule.

    Attributes
    ----------
    breaches, since
        The things in which the rule holds, and since when it was seen to.
    heard
        Of an absence: when each thing was last heard of, and the interval of who speaks of it, milliseconds.
    expected
        Of an absence: since when somebody is expected who was not heard of yet; 0 where nobody is.
    """

    breaches: dict[Thing, tuple[Labels, Finding]] = field(default_factory=dict)
    since: dict[Thing, int] = field(default_factory=dict)
    heard: dict[Thing, tuple[int, int]] = field(default_factory=dict)
    expected: int = 0

    def put(self, thing: Thing, finding: Finding, now: int) -> None:
        """Note whether the rule holds for a thing."""
        if finding.breached:
            self.breaches[thing] = (thing[1], finding)
            self.since.setdefault(thing, now)
        else:
            self.breaches.pop(thing, None)
            self.since.pop(thing, None)

    def hear(self, thing: Thing, at: int, interval: int) -> None:
        """Note when a thing was last heard of."""
        self.heard[thing] = (at, interval)
        self.expected = 0

    def release(self, thing: Thing) -> None:
        """Let go of a thing."""
        self.breaches.pop(thing, None)
        self.since.pop(thing, None)
        self.heard.pop(thing, None)

    def holds(self, labels: Labels) -> bool:
        """Return whether the rule holds for what has these labels, whoever says so."""
        return any(found == labels for found, _ in self.breaches.values())

    @property
    def last(self) -> tuple[int, int]:
        """When anything was last heard of, and its interval; zeros where nobody is expected."""
        return max(self.heard.values(), default=(self.expected, 0))

    @property
    def speaker(self) -> Cell | None:
        """Who was heard last."""
        thing = max(self.heard, key=self.heard.__getitem__, default=None)
        return None if thing is None else thing[0]

    @property
    def empty(self) -> bool:
        """Whether nothing is known."""
        return not self.breaches and not self.heard and not self.expected
