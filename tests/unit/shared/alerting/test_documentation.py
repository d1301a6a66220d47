from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from shared.alerting.documentation import fill
from shared.alerting.rule_tests import run_test_file
from shared.alerting.rules_file import parse_rules

DOCUMENT = Path(__file__).parents[4] / "docs" / "alerting.md"


def test_the_vocabulary_in_the_documentation_is_current() -> None:
    written = DOCUMENT.read_text()
    assert fill(written) == written, "run python -m shared.alerting.documentation docs/alerting.md"


def blocks() -> list[str]:
    return [part.split("```")[0] for part in DOCUMENT.read_text().split("```yaml\n")[1:]]


def test_the_examples_of_the_documentation_are_rules() -> None:
    examples = [block for block in blocks() if "tests:" not in block]
    assert len(examples) == 2
    for block in examples:
        parse_rules(block, "docs/alerting.md")


def test_the_example_of_a_test_file_is_one(tmp_path: Path) -> None:
    (example,) = [block for block in blocks() if "tests:" in block]
    (tmp_path / "rules.yml").write_text("")
    (tmp_path / "reports.jsonl").write_text("")
    (tmp_path / "tests.yml").write_text(example)
    ((name, problems),) = run_test_file(tmp_path / "tests.yml")
    assert name == "the night the sensor broke"
    assert problems == ["missing: firing drift", "missing: resolved drift"]
    broken = yaml.safe_load(example)
    broken["tests"][0]["expect"][0]["sevrity"] = "critical"
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(broken))
    with pytest.raises(Exception, match="sevrity"):
        list(run_test_file(tmp_path / "tests.yml"))
