"""From the shadow's reports to a verdict, and from a verdict to at most one change of the registry."""

from shared.promotion.evidence import Evidence, Gathered, Pair
from shared.promotion.gates import judge_candidate, judge_probation
from shared.promotion.verdict import Gate, Verdict

__all__ = ["Evidence", "Gate", "Gathered", "Pair", "Verdict", "judge_candidate", "judge_probation"]
