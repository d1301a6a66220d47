"""KPIs: what a decision was worth, as an expression over its truth and its outcomes."""

from shared.kpi.expression import Expression, parse

__all__ = ["Expression", "parse"]
