"""``driftline alerts rules check|test|record``."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from services.cli.alerts_reading import now_ms
from services.cli.connection import Connection, connection_options
from services.cli.report_reading import all_reports
from services.cli.selection import parse_moment
from shared.alerting.rule_tests import run_test_file
from shared.alerting.rules_file import default_text, load_rules

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def rules() -> None:
    """Check rules, test them on recorded reports, and record reports."""


@rules.command()
@click.argument("files", nargs=-1, type=_FILE)
@click.option("--show-defaults", is_flag=True, help="Print the built-in rules.")
def check(files: tuple[Path, ...], *, show_defaults: bool) -> None:
    """Say everything that is wrong with rules files, each with its line and key."""
    if show_defaults:
        click.echo(default_text(), nl=False)
        return
    if not files:
        raise click.UsageError("which file? (--show-defaults prints the built-in rules)")
    for file in files:
        rulebook = load_rules(file)
        receivers = ", ".join(receiver.name for receiver in rulebook.receivers) or "none"
        click.echo(f"{file}: {len(rulebook.conditions)} rules hold, receivers: {receivers}")


@rules.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.pass_context
def test(context: click.Context, files: tuple[Path, ...]) -> None:
    """Run rules on recorded reports and compare the alerts with those expected."""
    failed = passed = 0
    for file in files:
        for name, problems in run_test_file(file):
            click.echo(f"{'FAILED' if problems else 'ok':<7}{file}: {name}")
            for problem in problems:
                click.echo(f"       {problem}")
            failed, passed = failed + bool(problems), passed + (not problems)
    click.echo(f"{passed} passed, {failed} failed")
    context.exit(1 if failed else 0)


@rules.command()
@click.option("--since", default="1h", show_default=True, help="An age (30m, 2h, 7d) or an RFC 3339 time.")
@connection_options
def record(connection: Connection, *, since: str) -> None:
    """Print the reports that were written since then, one per line, for `test`."""
    first = parse_moment(since, now_ms())

    async def copy() -> None:
        async for report in all_reports(connection):
            if report.written_at >= first:
                click.echo(msgspec.json.encode(report))

    connection.run(copy())
