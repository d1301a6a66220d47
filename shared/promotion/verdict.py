"""What the gates say: a state and a sentence for each, and one state for all."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.promotion.evidence import Pair

State = Literal["pass", "wait", "fail"]

REASON_LIMIT = 1_900
"""The registry's history keeps 2,000 characters of why."""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate says.

    Attributes
    ----------
    name
        ``events``, ``probation``, ``answers``, ``errors``, ``latency``, ``canary``, ``agreement``, the
        metric, or ``segment FEATURE``.
    state
        ``pass``; ``wait`` while there is too little to decide on; ``fail``.
    sentence
        Why, with the figures.
    segment
        The segment that decided it, as ``feature=value``, where one did.
    """

    name: str
    state: State
    sentence: str
    segment: str | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What all gates say about one candidate against one champion.

    Examples
    --------
    >>> gates = (Gate(name="events", state="pass", sentence="20,000 pairs"),
    ...          Gate(name="brier", state="fail", sentence="worse by 0.02"))
    >>> Verdict(pair=Pair("m", "2", "1"), gates=gates).state
    'fail'
    """

    pair: Pair
    gates: tuple[Gate, ...]

    @property
    def state(self) -> State:
        """``fail`` if any gate fails, else ``wait`` if any waits, else ``pass``."""
        states = {gate.state for gate in self.gates}
        return "fail" if "fail" in states else "wait" if "wait" in states else "pass"

    @property
    def reason(self) -> str:
        """The sentences that decided it: of the failed gates, of the waiting ones, or of all that passed."""
        text = "; ".join(f"{gate.name}: {gate.sentence}" for gate in self.gates if gate.state == self.state)
        return text if len(text) <= REASON_LIMIT else text[: REASON_LIMIT - 1] + "…"
