"""What came of an image, held against what it may weigh and how long it may take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from devstack.images.tryout import Tried

MEGABYTE: Final = 1e6
SERVICE_MEGABYTES: Final = 250.0
MORE_MEGABYTES: Final = {"cli": 360.0, "demo": 560.0}
"""The command line draws reports and tries models, the demo's feed trains one: they may weigh more."""
READY_SECONDS: Final = 3.0
"""From the container's start to ``/readyz``, on a machine that does nothing else."""


@dataclass(slots=True)
class Outcome:
    """One line of the summary."""

    image: str
    size: int
    compressed: int
    tried: list[Tried] = field(default_factory=list)
    trouble: str | None = None

    @property
    def well(self) -> bool:
        """Return whether it was run and all was well."""
        return self.trouble is None and bool(self.tried) and all(tried.well for tried in self.tried)

    def faults(self, ready_within: float = READY_SECONDS) -> Iterator[str]:
        """Yield where it is too large or too slow, and what went wrong.

        Examples
        --------
        >>> list(Outcome("drift", 251_000_000, 0, [Tried("ready in 3.2 s", ready=3.2)]).faults())
        ['251 MB, more than 250', 'ready in 3.2 s, later than 3']
        >>> list(Outcome("cli", 331_000_000, 0, [Tried("well")]).faults())
        []
        """
        most = MORE_MEGABYTES.get(self.image, SERVICE_MEGABYTES)
        if self.size > most * MEGABYTE:
            yield f"{self.size / MEGABYTE:.0f} MB, more than {most:.0f}"
        for tried in self.tried:
            if tried.ready is not None and tried.ready > ready_within:
                yield f"ready in {tried.ready:.1f} s, later than {ready_within:g}"
        if self.trouble is not None:
            yield self.trouble
