"""Tests of rules on recorded reports, as ``promtool test rules`` has them for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from shared.alerting.durations import Duration, milliseconds
from shared.alerting.engine import Engine
from shared.alerting.mistakes import mistakes
from shared.alerting.rules import Section
from shared.alerting.rules_file import Rulebook, load_rules
from shared.alerting.yaml_lines import Document
from shared.alerting.yaml_lines import Path as Place
from shared.errors import ConfigError
from shared.messages import Alert, Report, ServiceReport
from shared.messages.alerts import Severity
from shared.reports import decode_report

_STEP_MS: Final = 1_000


class Expected(Section, frozen=True, kw_only=True):
    """An alert that must come; only what is given is compared.

    Attributes
    ----------
    rule, status, severity, model, model_version, subject, summary
        As in the alert.
    labels
        Those named here must be there and equal.
    after
        Time from the first report to the change.
    """

    rule: str
    status: Annotated[str, msgspec.Meta(pattern="^(firing|resolved)$")] = "firing"
    severity: Severity | None = None
    model: str | None = None
    model_version: str | None = None
    subject: str | None = None
    summary: str | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    after: Duration | None = None


class Case(Section, frozen=True, kw_only=True):
    """Reports, and the alerts that must come of them: all of them, in order, and no others.

    Attributes
    ----------
    reports
        A file with a report per line, beside this one, or the reports themselves.
    then
        How long nothing more is reported after the last one.
    expect
        In order.
    """

    name: str
    reports: str | list[dict[str, Any]]
    then: Duration = "0s"
    expect: tuple[Expected, ...] = ()


class TestFile(Section, frozen=True, kw_only=True):
    """Tests of one rules file.

    Attributes
    ----------
    rules
        The rules file, beside this one; absent for the built-in rules alone.
    tests
        The cases.
    """

    __test__ = False  # no tests of pytest's

    rules: str | None = None
    tests: Annotated[tuple[Case, ...], msgspec.Meta(min_length=1)]


def run_test_file(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each case and what is wrong with its outcome; nothing where it passed.

    Raises
    ------
    ConfigError
        The file, its rules or its reports cannot be read.
    """
    try:
        document = Document(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: {error}"]) from error
    if problems := [f"{document.where(at)}: {problem}" for at, problem in _mistakes(document.content)]:
        raise ConfigError(problems)
    file = msgspec.convert(document.content, TestFile)
    rulebook = load_rules(path.parent / file.rules if file.rules else None)
    for number, case in enumerate(file.tests):
        yield case.name, differences(case, rulebook, _reports(case, path, document, number))


def _mistakes(content: Any) -> Iterator[tuple[Place, str]]:
    """Yield every key of a test file that is wrong, with a sentence: of its own, of cases, of alerts."""
    yield from _of_list(content, TestFile, "tests", (), [{"name": "", "reports": []}])
    for number, case in enumerate(_entries(content, "tests")):
        at: Place = ("tests", number)
        yield from _of_list(case, Case, "expect", at, [])
        for position, alert in enumerate(_entries(case, "expect")):
            for inside, problem in mistakes(alert, Expected):
                yield (*at, "expect", position, *inside), problem


def _of_list(
    entry: Any, of: type[msgspec.Struct], inner: str, at: Place, instead: list[Any]
) -> Iterator[tuple[Place, str]]:
    """Yield what is wrong with an entry, but for what its inner list holds: that is looked at by itself."""
    known = entry | {inner: instead} if _entries(entry, inner) else entry
    for inside, problem in mistakes(known, of):
        yield (*at, *inside), problem


def _entries(entry: Any, key: str) -> list[Any]:
    found = entry.get(key) if isinstance(entry, dict) else None
    return found if isinstance(found, list) else []


def differences(case: Case, rulebook: Rulebook, reports: list[Report | ServiceReport]) -> list[str]:
    """Return a sentence for every alert that is missing, unexpected or other than expected."""
    first = min((report.written_at for report in reports), default=0)
    came = run(rulebook, reports, milliseconds(case.then))
    wrong = []
    for number, expected in enumerate(case.expect):
        if number >= len(came):
            wrong.append(f"missing: {expected.status} {expected.rule}")
            continue
        wrong += [f"alert {number + 1}: {problem}" for problem in _compare(expected, came[number], first)]
    wrong += [f"unexpected: {describe(alert, first)}" for alert in came[len(case.expect) :]]
    return wrong


def run(rulebook: Rulebook, reports: list[Report | ServiceReport], then: int) -> list[Alert]:
    """Return the alerts that come of reports in the order they were written, time passing in between."""
    engine, came, now = Engine(rulebook.conditions), list[Alert](), 0
    for report in sorted(reports, key=lambda report: report.written_at):
        came += [change.alert for change in engine.tick(report.written_at) if now]
        came += [change.alert for change in engine.take(report)]
        now = report.written_at
    for moment in range(now + _STEP_MS, now + then + 1, _STEP_MS):
        came += [change.alert for change in engine.tick(moment)]
    return came


def describe(alert: Alert, first: int) -> str:
    """Return an alert in one line."""
    return f"{alert.status} {alert.rule} after {(alert.changed_at - first) / 1000:g} s: {alert.summary}"


def _compare(expected: Expected, alert: Alert, first: int) -> Iterator[str]:
    for name in ("rule", "status", "severity", "model", "model_version", "subject", "summary"):
        wanted, found = getattr(expected, name), getattr(alert, name)
        if wanted is not None and wanted != found:
            yield f"{name} is {found!r}, not {wanted!r} ({describe(alert, first)})"
    for name, wanted in expected.labels.items():
        if alert.labels.get(name) != wanted:
            yield f"label {name} is {alert.labels.get(name)!r}, not {wanted!r}"
    if expected.after is not None and alert.changed_at - first != milliseconds(expected.after):
        yield f"it changed after {(alert.changed_at - first) / 1000:g} s, not {expected.after}"


def _reports(case: Case, path: Path, document: Document, number: int) -> list[Report | ServiceReport]:
    """Return the reports of a case; one that is none is named by its line."""
    if isinstance(case.reports, str):
        file = path.parent / case.reports
        try:
            lines = file.read_bytes().splitlines()
        except OSError as error:
            raise ConfigError([f"{file}: cannot be read: {error.strerror}"]) from error
        found = [(f"{file}:{place}", line) for place, line in enumerate(lines, 1) if line.strip()]
    else:
        found = [
            (document.where(("tests", number, "reports", place)), msgspec.json.encode(report))
            for place, report in enumerate(case.reports)
        ]
    reports: list[Report | ServiceReport] = []
    for where, line in found:
        try:
            reports.append(decode_report(line))
        except msgspec.DecodeError as error:
            raise ConfigError([f"{where}: no report: {error}"]) from error
    return reports
