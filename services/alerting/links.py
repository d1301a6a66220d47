"""Where an alert says what to do: the runbooks that this service itself serves."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from services.alerting.page.runbooks import has_runbook
from shared.alerting.conditions import Condition
from shared.alerting.rules_file import Rulebook


def with_runbooks(rulebook: Rulebook, public_url: str) -> Rulebook:
    """Return the rules with a link to our own page for each that names none and that we have one of.

    Parameters
    ----------
    public_url
        Where people reach this service; without it nothing is linked.
    """
    if not public_url:
        return rulebook
    base = public_url.rstrip("/")
    return replace(rulebook, conditions=tuple(_linked(one, base) for one in rulebook.conditions))


def _linked(condition: Condition, base: str) -> Condition:
    if condition.rule.runbook is not None or not has_runbook(condition.name):
        return condition
    return replace(
        condition, rule=msgspec.structs.replace(condition.rule, runbook=f"{base}/runbooks/{condition.name}")
    )
