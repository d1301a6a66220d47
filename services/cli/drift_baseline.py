"""``driftline drift baseline``: what a bundle's drift detectors compare with, as a table and as plots."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec

from services.cli.baseline_view import COLUMNS, channel_row, print_baseline, remarks, truth_rows
from shared.bundle.baseline import load_baseline
from shared.bundle.read import Bundle, load_bundle
from shared.drift.baseline import Baseline
from shared.errors import BundleError

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("bundle", type=_PATH)
@click.option("--html", type=_PATH, help="Write a page with plots of every channel to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole baseline as one JSON object.")
def baseline(bundle: Path, html: Path | None, as_json: bool) -> None:
    """Show what the drift detectors of the bundle in the directory BUNDLE compare with."""
    loaded = load_bundle(bundle)
    found = need_baseline(loaded)
    if html is not None:
        write_page(loaded, found, html)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(found), indent=2, ensure_ascii=False))
        return
    print_baseline(found)
    if html is not None:
        click.echo(f"Plots are in {html}.")


def need_baseline(bundle: Bundle) -> Baseline:
    """Return the baseline of a bundle.

    Raises
    ------
    BundleError
        It has none; the message says how to make one.
    """
    found = load_baseline(bundle)
    if found is None:
        raise BundleError(
            f"{bundle.path} has no baseline.json: package the model again with --data "
            "(without one, the drift service learns a baseline from the first events)"
        )
    return found


def write_page(bundle: Bundle, baseline: Baseline, path: Path) -> None:
    """Write the table and the plots of every channel as one HTML file.

    Raises
    ------
    BundleError
        The file cannot be written.
    """
    from services.cli.baseline_plots import channel_plot, label_plot, season_plot
    from services.cli.page import Page

    spec = bundle.spec
    page = Page(f"Drift baseline of {spec.name}", lead=f"Version {spec.version}, bundle {bundle.digest[:12]}")
    for sentence in remarks(baseline):
        page.text(sentence)
    channels = (*baseline.watched, *baseline.predictions)
    rows: list[Any] = [channel_row(channel) for channel in channels]
    rows += truth_rows(baseline)
    page.table(COLUMNS, rows)
    units = {feature.name: feature.unit for feature in spec.features}
    for channel in channels:
        page.heading(channel.name)
        if not channel.calibrated:
            page.text(f"Not watched: {channel.reason}.", mood="bad")
        if channel.joint and baseline.joint is not None:
            page.text(f"Made of {baseline.joint.explain(channel.name)}.")
        if sum(channel.counts):
            page.plot(channel_plot(channel, units.get(channel.name)), f"Training values of {channel.name}")
        if channel.cycle is not None:
            page.plot(season_plot(channel), f"Season of {channel.name}")
    if baseline.labels is not None:
        page.heading("Label given score")
        page.plot(label_plot(baseline.labels), "Share of positive labels in each bin of the score")
    try:
        page.write(path)
    except OSError as error:
        raise BundleError(f"{path} cannot be written: {error.strerror}") from error
