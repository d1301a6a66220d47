"""``driftline drift status|show|report``: what the drift service has found."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from services.cli.connection import Connection, connection_options
from services.cli.drift_page import drift_page
from services.cli.drift_reading import Watched, drift_reports, the_one
from services.cli.drift_view import print_channel, print_status

_model = click.option("--model", help="Only this model.")
_version = click.option("--model-version", help="Only this version; the champion, if left out.")


def _read(connection: Connection, model: str | None, version: str | None) -> list[Watched]:
    found = connection.run(drift_reports(connection, model, version))
    active = [one for one in found if one.newest.active]
    return found if version is not None or not active else active


@click.command()
@_model
@_version
@click.option("--json", "as_json", is_flag=True, help="The newest reports of each version, one line each.")
@connection_options
def status(connection: Connection, *, model: str | None, model_version: str | None, as_json: bool) -> None:
    """Show every channel: its evidence, its alarm, or why it is not watched."""
    for number, watched in enumerate(_read(connection, model, model_version)):
        if as_json:
            for newest in (watched.newest, *watched.labels[-1:]):
                click.echo(msgspec.json.encode(newest).decode())
            continue
        if number:
            click.echo()
        print_status(watched)


@click.command()
@click.argument("channel", metavar="FEATURE")
@_model
@_version
@connection_options
def show(connection: Connection, channel: str, *, model: str | None, model_version: str | None) -> None:
    """Show one channel: its alarm, its figures, training against the newest window.

    FEATURE is a feature, score, predicted_class, a joint channel, or "label given score".
    """
    print_channel(the_one(_read(connection, model, model_version)), channel)


@click.command()
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
@_model
@_version
@click.option(
    "--channel", "channels", multiple=True, help="Plot this channel; repeat. The strongest, if left out."
)
@connection_options
def report(
    connection: Connection,
    *,
    html: Path,
    model: str | None,
    model_version: str | None,
    channels: tuple[str, ...],
) -> None:
    """Write a page with every channel, evidence over time, and training against now."""
    watched = the_one(_read(connection, model, model_version))
    for name in channels:
        watched.channel(name)
    drift_page(watched, channels=channels).write(html)
    click.echo(f"{html}: {watched.model} {watched.version}, {len(watched.windows):,} windows")
