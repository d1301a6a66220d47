"""What one contributor to the verdict found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one contributor found.

    Attributes
    ----------
    facts
        Keys it adds to the last line.
    problems
        A sentence for everything that is not well; none when all is.
    remarks
        A sentence for everything else worth telling a person.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
