"""The audit: what was not looked up is not clean."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from devstack import audit
from devstack.audit import Audit, looked_up, understood

SKIPPED = {"name": "b", "skip_reason": "Dependency not found on PyPI and could not be audited: b (1.0)"}
CLEAN = {"name": "a", "version": "1.0", "vulns": []}
KNOWN = {"name": "c", "version": "1.0", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["1.1", "2.0"]}]}


@pytest.mark.parametrize(
    ("dependencies", "code"),
    [
        ([CLEAN, CLEAN], 0),
        ([CLEAN, KNOWN], 1),
        ([KNOWN, SKIPPED], 1),
        ([CLEAN, SKIPPED], 3),
        ([SKIPPED, SKIPPED], 3),
    ],
)
def test_the_exit_code(dependencies: list[dict[str, Any]], code: int) -> None:
    assert understood({"dependencies": dependencies}).exit_code() == code


@pytest.mark.parametrize("said", ["", "Traceback", "{}"])
def test_a_pip_audit_that_breaks_off_has_looked_up_nothing(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, stdout=said)

    monkeypatch.setattr(subprocess, "run", run)
    assert looked_up(Path("requirements/demo.lock")) == Audit(0)


def test_what_is_known_is_named_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {"demo": understood({"dependencies": [KNOWN]}), "dev": Audit(0)}
    monkeypatch.setattr(audit, "looked_up", lambda lock: found[lock.stem])
    assert audit.main([]) == 1
    said = capsys.readouterr().out
    assert "c 1.0: PYSEC-2026-1, mended in 1.1, 2.0" in said
    assert "dev.lock: the database of known vulnerabilities did not answer: nothing was looked up" in said


@pytest.mark.parametrize("there", [True, False])
def test_where_there_is_no_database_one_package_is_asked_for(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(lock: Path) -> Audit:
        asked.append(lock.stem)
        return Audit(1) if there else Audit(1, unanswered=("uv",))

    monkeypatch.setattr(audit, "looked_up", answer)
    assert audit.main(["--where-reachable"]) == 0
    assert asked == (["uv", "demo", "dev"] if there else ["uv"])
