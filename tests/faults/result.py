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
    starved
        Seconds beside the limit for which a thread of the fleet wanted a processor and had none.
    events
        How many were sent while it was broken.
    services, rate
        Who was at work, and events a second.
    drawn_by
        The seed that drew the choices, where another lane's did.
    noticed
        Of a control: whether the mistake showed as what it is (:attr:`tests.faults.controls.Control.shows`).
    folder
        Where the event log and the processes' logs are, if they were kept.
    """

    seed: int
    fault: str
    topology: str
    control: str = ""
    violations: list[str] = field(default_factory=list)
    resumed_after: float | None = None
    starved: float = 0.0
    events: int = 0
    seconds: float = 0.0
    folder: str = ""
    services: tuple[str, ...] = ("inference",)
    rate: float = 0.0
    drawn_by: int | None = None
    noticed: bool = False

    @property
    def passed(self) -> bool:
        """Whether nothing was broken."""
        return not self.violations

    @property
    def repeat(self) -> str:
        """The command that makes the same choices again, with a fleet of its own."""
        if self.fault in ("", "(end)", "soak"):
            return ""
        seed = self.seed if self.drawn_by is None else self.drawn_by
        if self.control:
            what = f"--controls --only {self.control}"
        else:
            what = f"--faults {self.fault} --services {','.join(self.services)} --rate {self.rate:g}"
        return f"python -m tests.faults --seeds {seed} {what} --topology {self.topology} --keep"

    def as_json(self) -> dict[str, Any]:
        """Return what is printed with ``--json``."""
        return asdict(self) | {"passed": self.passed, "repeat": self.repeat}
