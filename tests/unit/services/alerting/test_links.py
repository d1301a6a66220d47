from __future__ import annotations

from services.alerting.links import with_runbooks
from shared.alerting.rules_file import load_rules, parse_rules

OWN = """
rules:
  - {name: lag, reports: topic, figure: lag, above: 5, summary: s, runbook: "https://wiki.example/lag"}
  - {name: ours, reports: topic, figure: lag, above: 6, summary: s}
"""


def test_every_built_in_rule_links_to_its_page() -> None:
    rules = with_runbooks(load_rules(), "https://driftline.example/").conditions
    assert {rule.rule.runbook for rule in rules} == {
        f"https://driftline.example/runbooks/{rule.name}" for rule in rules
    }


def test_a_link_of_your_own_stays_and_a_rule_without_a_page_has_none() -> None:
    rules = {
        rule.name: rule.rule.runbook for rule in with_runbooks(parse_rules(OWN, "x"), "http://d").conditions
    }
    assert rules["lag"] == "https://wiki.example/lag"
    assert rules["ours"] is None
    assert rules["drift"] == "http://d/runbooks/drift"


def test_without_an_address_nothing_changes() -> None:
    assert all(rule.rule.runbook is None for rule in with_runbooks(load_rules(), "").conditions)
