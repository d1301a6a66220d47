from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from shared.alerting.rules_file import by_name, default_text, load_rules, parse_rules
from shared.errors import ConfigError

GOOD = """
rules:
  - name: slow
    reports: inference
    figure: latency_p99 - latency_p50
    above: 0.2
    for: 2m
    labels: {team: ml}
    summary: "{model} is slow: {value:seconds}"
inhibit:
  - when: {rule: service-gone}
    mute: {severity: warning}
receivers:
  - name: chat
    format: slack
    url_env: CHAT_URL
    match: {severity: critical}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_rules(text, "rules.yml")
    return caught.value.problems


def rule(**keys: object) -> str:
    base: dict[str, object] = {"name": "r", "reports": "inference", "figure": "errors", "above": 1}
    merged = {key: value for key, value in (base | keys).items() if value is not None}
    return yaml.safe_dump({"rules": [merged]}, sort_keys=False)


def test_without_a_file_the_built_in_rules_hold_and_nobody_is_told() -> None:
    rulebook = load_rules()
    assert set(by_name(rulebook.conditions)) == {
        "prediction-failures", "dead-letter-rate", "latency-p99", "lag", "service-failures", "service-gone",
        "service-dead-letters", "auc-drop", "log-loss-rise",
        "service-not-ready", "model-load-failed", "registry-away", "drift", "quality-drop", "error-rise",
        "shadow-regression", "shadow-without-answers", "rolled-back",
        "candidate-refused", "canary-paused",
    }  # fmt: skip
    assert rulebook.receivers == ()


def test_a_file_adds_to_the_built_in_rules_replaces_them_and_switches_them_off() -> None:
    text = GOOD + "defaults: true\n"
    changed = text.replace(
        "rules:\n",
        "rules:\n  - {name: drift, enabled: false}\n"
        "  - {name: lag, reports: topic, figure: lag, above: 5, severity: info}\n",
    )
    rules = by_name(parse_rules(changed, "x").conditions)
    assert "drift" not in rules
    assert (rules["lag"].threshold, rules["lag"].rule.severity) == (5, "info")
    assert rules["slow"].hold == 120_000
    alone = parse_rules(GOOD + "defaults: false\n", "x")
    assert [condition.name for condition in alone.conditions] == ["slow"]
    assert alone.receivers[0].match == {"severity": "critical"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rules: [\n  {name: a}\n", "rules.yml:3: "),
        ("- a\n", "rules.yml:1: must hold keys such as rules and receivers"),
        ("ruls: []\n", "rules.yml:1: ruls: there is no such key; did you mean rules?"),
        ("defaults: maybe\n", "rules.yml:1: defaults: must be true or false"),
        ("rules:\n  name: a\n", "rules.yml:1: rules: must be a list"),
        (
            "rules:\n  - name: a\n    reports: inference\n    reports: drift\n",
            "rules.yml:4: rules[0].reports: is there twice",
        ),
        (rule(abvoe=1), "rules.yml:6: rules[0].abvoe: there is no such key; did you mean above?"),
        (rule(above="1"), "rules.yml:5: rules[0].above: must be a number, not '1'"),
        (rule(name=None), "rules.yml:2: rules[0]: name is required"),
        (rule(reports="inferences"), "; did you mean inference?"),
        (rule(reports=None), "rules.yml:2: rules[0].reports: is required: one of inference, service, "),
        (rule(figure=None), "rules.yml:2: rules[0].figure: is required: of inference reports there are"),
        (rule(figure="erors"), 'rules.yml:4: rules[0].figure: "erors": there is no figure \'erors\' here'),
        (rule(figure="errors.__class__"), 'rules.yml:4: rules[0].figure: "errors.__class__": only figures'),
        (rule(above=None), "rules.yml:2: rules[0].above: exactly one of above, below, absent is needed"),
        (rule(below=2), "rules.yml:6: rules[0].below: exactly one of above, below, absent is needed"),
        (rule(**{"for": "5 minutes"}), "rules.yml:6: rules[0].for: must be a duration such as 30s"),
        (rule(where={"modle": "x"}), "rules.yml:7: rules[0].where.modle: inference reports have no such"),
        (rule(labels={"team": 3}), "rules.yml:6: rules[0].labels: must hold text everywhere"),
        (rule(above=float("nan")), "rules.yml:5: rules[0].above: must be a finite number"),
        (rule(group_by=["channel"]), "rules.yml:6: rules[0].group_by: channel: inference reports have no"),
        (rule(rate_over="5m"), "rules.yml:6: rules[0].rate_over: is for figures that count since"),
        (rule(count="lag"), "rules.yml:6: rules[0].count: there is no figure 'lag' here"),
        (rule(summary="{nobody}"), "rules.yml:6: rules[0].summary: {nobody} is not known here"),
        (rule(summary="{value:loud}"), "rules.yml:6: rules[0].summary: {value:loud}: the styles are"),
        (rule(relative_to={"windows": 0}), "rules[0].relative_to.windows: must be at least 1, not 0"),
        (rule(runbook="ftp://x"), "rules.yml:6: rules[0].runbook: must begin with http"),
        ("rules:\n  - {name: dirft, enabled: false}\n", "rules[0].name: there is no built-in rule"),
        (
            "receivers:\n  - {name: a, url: 'https://x.y'}\n  - name: b\n    url: https://x.z\n    match:\n"
            "      severty: critical\n",
            "rules.yml:6: receivers[1].match.severty: no alert has such a label; there are",
        ),
        (
            "receivers:\n  - {name: a, url: 'https://x.y', match: {severity: crit}}\n",
            "receivers[0].match.severity: 'crit' fits none of info, warning, critical",
        ),
        ("inhibit:\n  - {when: {rule: nosuch}, mute: {rule: lag}}\n", "inhibit[0].when.rule: 'nosuch' fits"),
        ("inhibit:\n  - {when: {rule: lag}, mute: {modle: m}}\n", "mute.modle: no alert has such a label"),
        (
            "inhibit:\n  - when: {rule: lag}\n    mute: {rule: drift}\n    equal: [model, sevrice]\n",
            "rules.yml:4: inhibit[0].equal[1]: sevrice: no alert has such a label",
        ),
        (
            "receivers:\n  - {name: a, url: 'https://x.y', format: alertmanager, send_resolved: false}\n",
            "receivers[0].send_resolved: must be true: an Alertmanager",
        ),
        ("receivers:\n  - {name: a}\n", "receivers[0].name: exactly one of url, url_env, url_file"),
        ("receivers:\n  - {name: a, url: 'http://x.y/'}\n", "rules.yml:2: receivers[0].url: is http://"),
        ("receivers:\n  - {name: a, url: 'https://u:p@x.y/'}\n", "receivers[0].url: carries a password"),
        ("receivers:\n  - {name: a, format: apprise, url: 'dbus://'}\n", "dbus:// tells only the machine"),
        ("receivers:\n  - {name: a, format: apprise, url: 'jsons://x.y?verify=no'}\n", "carries verify=no"),
        (
            "receivers:\n  - {name: a, url: 'https://x.y'}\n  - {name: a, url: 'https://x.z'}\n",
            "rules.yml:3: receivers[1].name: a is there twice in receivers",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_line_and_key(text: str, expected: str) -> None:
    found = problems(text)
    assert len(found) == 1, found
    assert expected in found[0]


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found = problems(
        "rules:\n  - {name: A, reports: drift}\n  - {name: b, reports: drift, figure: x, above: 1}\n"
        "extra: 1\n"
    )
    assert [line.split(":")[1] for line in found] == ["4", "2", "3"]
    found = problems(rule(name="A b", above="x", severity="fatal", **{"for": "soon"}))
    assert [line.split(": ")[1] for line in found] == [
        f"rules[0].{k}" for k in ("name", "above", "severity", "for")
    ]


def test_an_anchor_cannot_make_a_small_file_enormous() -> None:
    layers = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for low, high in zip("abcdefgh", "bcdefghi", strict=True):
        layers.append(f"{high}: &{high} [*{low}, *{low}, *{low}, *{low}, *{low}, *{low}, *{low}, *{low}]")
    assert "too large" in problems("\n".join(layers))[0]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_rules(tmp_path / "none.yml")


def test_the_schema_takes_what_the_reader_takes() -> None:
    schema = yaml.safe_load(Path("docs/schemas/rules-file.json").read_text())
    validator = Draft202012Validator(schema)
    for text in (GOOD, default_text()):
        validator.validate(yaml.safe_load(text))
    assert not validator.is_valid(yaml.safe_load(rule(abvoe=1)))
