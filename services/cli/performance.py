"""``driftline performance``: how good the versions are, once labels came and before."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click

from services.cli import performance_view as view
from services.cli.connection import Connection, connection_options
from services.cli.performance_compare import Difference, differences
from services.cli.performance_json import as_json
from services.cli.performance_reading import VersionQuality, read_quality
from services.cli.printing import table
from shared.errors import ServiceError


@click.command()
@click.argument("model", required=False)
@click.option("--json", "json_output", is_flag=True, help="Print JSON.")
@partial(connection_options, registry=True)
def status(model: str | None, json_output: bool, connection: Connection) -> None:
    """Show the realised and estimated quality of every version in a line, of MODEL or of all models.

    Figures are final where the label horizon has passed for them, and provisional until then.
    """
    versions = connection.run(read_quality(connection, model))
    if json_output:
        click.echo(json.dumps(as_json(versions, differences(versions)), indent=2))
    else:
        view.print_status(versions)


@click.command()
@click.argument("model")
@click.argument("version", required=False)
@click.option("--json", "json_output", is_flag=True, help="Print JSON.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with plots.")
@partial(connection_options, registry=True)
def report(
    model: str, version: str | None, json_output: bool, html: Path | None, connection: Connection
) -> None:
    """Tell all about the quality of MODEL: figures with intervals, estimates, KPIs, segments, cut-offs.

    Without VERSION: every version, the one that answered last first. Their KPIs are compared with the
    champion's, or where the registry cannot be asked, with those of the version that answered most, over the
    final windows in which both answered.
    """
    versions = connection.run(read_quality(connection, model))
    chosen = _chosen(versions, version)
    compared = [d for d in differences(versions) if version in (None, d.version, d.against)]
    if html is not None:
        from services.cli.performance_page import performance_page

        performance_page(chosen, compared).write(html)
        click.echo(f"written to {html}", err=json_output)
    if json_output:
        click.echo(json.dumps(as_json(chosen, compared), indent=2))
    elif html is None:
        _print(chosen, compared)


def _chosen(versions: list[VersionQuality], version: str | None) -> list[VersionQuality]:
    chosen = [one for one in versions if version in (None, one.version)]
    if not chosen:
        known = ", ".join(one.version for one in versions)
        raise ServiceError(f"version {version} has given no answers that a report counts; there are {known}")
    return chosen


def _print(versions: list[VersionQuality], compared: list[Difference]) -> None:
    for number, one in enumerate(versions):
        if number:
            click.echo()
        view.print_version(one)
    if compared:
        click.echo()
        table(view.COMPARISON_COLUMNS, view.comparison_rows(compared))
    elif view.comparable(versions):
        click.echo(f"\n{view.NOT_COMPARED}")
