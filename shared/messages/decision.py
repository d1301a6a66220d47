"""What a rule decided about a version: told on the reports topic so that others can act on it."""

from __future__ import annotations

from typing import Literal

from shared.messages.reports import Report


class DecisionReport(Report, frozen=True, kw_only=True, tag="decision"):
    """One change of the registry that a rule made, or a person by way of the gates; told once it is made.

    The registry's history is where it happened; this says so to readers of the topic. It is written at
    least once, always with the same key. ``model_version`` is the version that was decided about;
    ``window`` is the moment of the decision; ``source_topic`` is ``registry``, and the offsets are the
    registry's revision.

    Attributes
    ----------
    decision
        ``promoted``: the gates passed and it is champion; ``refused``: a gate failed and it is no
        candidate any more; ``canary-step``: it answers a larger share of the traffic; ``canary-paused``:
        a gate failed and it answers no traffic any more; ``rolled-back``: a gate turned in probation and
        the champion before it is champion again; ``probation-passed``: its predecessor is no candidate
        any more.
    other_version
        The champion before a promotion, the champion again after a rollback, the predecessor that a
        probation kept.
    percent
        Of a ``canary-step``: the share.
    revision
        The registry's revision that the change made.
    who
        The rule, or the person.
    reason
        The gates that decided it, in sentences.
    """

    decision: Literal[
        "promoted", "refused", "canary-step", "canary-paused", "rolled-back", "probation-passed"
    ]
    other_version: str | None = None
    percent: float | None = None
    revision: int
    who: str
    reason: str

    @property
    def subject(self) -> str:
        """The revision: no decision replaces another."""
        return f"revision {self.revision}"
