"""The rules of Prometheus and the routes of Alertmanager, checked and tested by their own tools."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from services.cli.__main__ import cli
from shared.alerting.rules_file import load_rules

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "monitoring"
RULES = MONITORING / "prometheus" / "rules"
RUNBOOKS = ROOT / "docs" / "runbooks"


def alert_rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("promtool", ["check", "rules", RULES / "alerts.yml", RULES / "recording.yml"]),
        ("promtool", ["test", "rules", RULES / "tests.yml"]),
        ("promtool", ["check", "config", MONITORING / "prometheus" / "prometheus.yml"]),
        ("amtool", ["check-config", MONITORING / "alertmanager" / "alertmanager.yml"]),
    ],
    ids=["rules", "rule tests", "scrape configuration", "routes"],
)
def test_the_tools_have_nothing_to_say(monitoring: dict[str, str], tool: str, arguments: list[Any]) -> None:
    done = run(monitoring[tool], *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def seen_firing() -> Iterator[str]:
    """The alerts that some test of tests.yml expects to fire."""
    for test in yaml.safe_load((RULES / "tests.yml").read_text())["tests"]:
        yield from (t["alertname"] for t in test.get("alert_rule_test", []) if t["exp_alerts"])
        for query in test.get("promql_expr_test", []):
            for sample in query["exp_samples"]:
                if sample["value"] > 0:
                    yield from re.findall(r'alertname="(\w+)"', query["expr"] + sample["labels"])


def test_every_alert_is_seen_firing_by_the_rule_tests(monitoring: dict[str, str], tmp_path: Path) -> None:
    assert {rule["alert"] for rule in alert_rules()} <= set(seen_firing())
    document = yaml.safe_load((RULES / "alerts.yml").read_text())
    for rule in [rule for group in document["groups"] for rule in group["rules"]]:
        rule["expr"] = "vector(0) > 1"  # alerts that never fire must be noticed
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(document))
    for name in ("recording.yml", "tests.yml"):
        (tmp_path / name).write_text((RULES / name).read_text())
    assert run(monitoring["promtool"], "test", "rules", tmp_path / "tests.yml").returncode != 0


def test_every_alert_says_how_bad_and_has_its_page() -> None:
    listed = (RUNBOOKS / "README.md").read_text()
    for rule in alert_rules():
        name, annotations = rule["alert"], rule["annotations"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info", "none"), name
        assert annotations["runbook"] == f"docs/runbooks/{name}.md"
        page = (ROOT / annotations["runbook"]).read_text()
        assert page.startswith(f"# {name}: ")
        assert all(part in page for part in ("**What it means.**", "**How bad.**", "## Look", "## Do")), name
        assert f"[{name}]({name}.md)" in listed


def test_every_rule_of_the_alerting_service_has_its_page() -> None:
    listed = (RUNBOOKS / "README.md").read_text()
    for condition in load_rules().conditions:
        assert (RUNBOOKS / f"{condition.name}.md").read_text().startswith(f"# {condition.name}: ")
        assert f"[{condition.name}]({condition.name}.md)" in listed


def test_commands_in_runbooks_exist() -> None:
    """A page that names a command that there is not wastes the time of whoever was woken."""
    missing = []
    for page in RUNBOOKS.glob("*.md"):
        for words in re.findall(r"`driftline ([a-z][a-z -]*[a-z])", page.read_text()):
            command: click.Command | None = cli
            for word in words.split():
                context = click.Context(cli)
                command = command.get_command(context, word) if isinstance(command, click.Group) else None
                if command is None:
                    missing.append(f"{page.name}: driftline {words}")
                    break
    assert missing == []
