"""What came of one trial."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Result:
    """What came of a run.

    Attributes
    ----------
    violations
        A sentence per rule that was broken; none is what everybody hopes for.
    resumed_after
        Seconds from the end of the fault until every partition had moved; ``None`` if not in time.
    events
        How many were sent while it was broken.
    folder
        Where the event log and the processes' logs are, if they were kept.
    """

    seed: int
    fault: str
    topology: str
    control: str = ""
    violations: list[str] = field(default_factory=list)
    resumed_after: float | None = None
    events: int = 0
    seconds: float = 0.0
    folder: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing was broken."""
        return not self.violations

    @property
    def noticed(self) -> bool:
        """Whether a mistake showed in what was written: a run that merely broke off proves nothing."""
        blind = ("broke off", "ended by itself", "no progress")
        return any(not any(word in v for word in blind) for v in self.violations)

    def as_json(self) -> dict[str, Any]:
        """Return what is printed with ``--json``."""
        return asdict(self) | {"passed": self.passed}
