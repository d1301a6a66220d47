"""A test file that is wrong says where: its line and key."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from shared.alerting.rule_tests import run_test_file
from shared.errors import ConfigError
from tests.reports import inference


def problems(folder: Path, text: str) -> list[str]:
    (folder / "t.yml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        list(run_test_file(folder / "t.yml"))
    return [problem.removeprefix(f"{folder}/") for problem in caught.value.problems]


GOOD = "tests:\n  - name: a\n    reports: []\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{GOOD}    expct: []\n", "t.yml:4: tests[0].expct: there is no such key; did you mean expect?"),
        (f"{GOOD}    then: soon\n", "t.yml:4: tests[0].then: must be a duration such as 30s"),
        (
            f"{GOOD}    expect:\n      - rule: x\n        sevrity: info\n",
            "t.yml:6: tests[0].expect[0].sevrity: there is no such key; did you mean severity?",
        ),
        (f"{GOOD}    expect:\n      - status: firing\n", "t.yml:5: tests[0].expect[0]: rule is required"),
        (f"{GOOD}    expect: 3\n", "t.yml:4: tests[0].expect: must be a list, not 3"),
        (f"{GOOD}ruls: x\n", "t.yml:4: ruls: there is no such key; did you mean rules?"),
        ("tests:\n  - reports: []\n", "t.yml:2: tests[0]: name is required"),
        ("tests: []\n", "t.yml:1: tests: must not be empty"),
        ("- a\n", "t.yml:1: must be keys with values, not a list"),
        (
            "tests:\n  - name: a\n    reports:\n      - {kind: inference}\n",
            "t.yml:4: tests[0].reports[0]: no report: ",
        ),
        ("rules: none.yml\ntests:\n  - {name: a, reports: []}\n", "none.yml: cannot be read: No such file"),
        ("tests:\n  - {name: a, reports: none.jsonl}\n", "none.jsonl: cannot be read: No such file"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_key(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1, found
    assert found[0].startswith(expected)


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    second = "  - name: b\n    reports: []\n    expect:\n      - {rule: x, statu: firing}\n"
    text = f"{GOOD}    expct: []\n{second}"
    assert [line.split(": ")[0] for line in problems(tmp_path, text)] == ["t.yml:4", "t.yml:8"]


def test_a_line_of_a_file_that_is_no_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(msgspec.json.encode(inference()) + b"\n\n{}\n")
    (found,) = problems(tmp_path, "tests:\n  - {name: a, reports: r.jsonl}\n")
    assert found.startswith("r.jsonl:3: no report: ")
