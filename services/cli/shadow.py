"""``driftline shadow report``: what the shadow found about a model's candidates."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click

from services.cli import shadow_view as view
from services.cli.connection import Connection, connection_options
from services.cli.registry import open_registry
from services.cli.shadow_reading import Shadow, read_shadow


@click.command()
@click.argument("model")
@click.argument("version", required=False)
@click.option("--json", "json_output", is_flag=True, help="Print JSON.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with plots.")
@click.option("--windows", is_flag=True, help="Print every window too (--json and --html always have them).")
@click.option("--all", "everything", is_flag=True, help="Former comparisons too.")
@partial(connection_options, registry=True)
def report(
    model: str,
    version: str | None,
    json_output: bool,
    html: Path | None,
    windows: bool,
    everything: bool,
    connection: Connection,
) -> None:
    """Compare the candidates of MODEL with its champion, and say what the gates decide.

    With VERSION: the newest comparison of that version, also when it is no candidate any more.
    """
    shadow = connection.run(_read(connection, model))
    if version is not None:
        chosen = [shadow.of(version)]
    else:
        present = [one for one in shadow.compared if one.role != "former"]
        chosen = shadow.compared if everything else present or shadow.compared[:1]
    if html is not None:
        from services.cli.shadow_page import shadow_page

        shadow_page(shadow, chosen).write(html)
        click.echo(f"written to {html}", err=json_output)
    if json_output:
        click.echo(json.dumps(view.as_json(shadow, chosen), indent=2, allow_nan=False))
    elif html is None:
        view.print_shadow(shadow, chosen, windows=windows)


async def _read(connection: Connection, model: str) -> Shadow:
    async with open_registry(connection.settings) as registry:
        return await read_shadow(connection, registry, model)
