"""``driftline models package|inspect|validate``: bundles on disk, no broker needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from shared.bundle.compare import DEFAULT_TOLERANCE
from shared.bundle.infer import Wishes
from shared.bundle.package import DEFAULT_ROWS, Packaged
from shared.bundle.package import package as package_bundle
from shared.bundle.read import Bundle, load_bundle
from shared.bundle.spec import FeatureSpec
from shared.bundle.validate import DEFAULT_ROWS as VALIDATE_ROWS
from shared.bundle.validate import validate as validate_bundle

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_PATH = click.Path(path_type=Path)


def _names(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Return comma-separated names as a tuple, stripped, without empty ones."""
    return None if value is None else tuple(name for name in map(str.strip, value.split(",")) if name)


@click.command()
@click.argument("model", type=_FILE)
@click.option(
    "--data", type=_FILE, required=True, help="Training data: .csv, .csv.gz, .parquet, .arrow, .feather."
)
@click.option("--out", type=_PATH, help="Directory to make. [default: NAME-VERSION here]")
@click.option(
    "--spec", "toml", type=_FILE, help="A model.toml; left out, the contract is inferred from the data."
)
@click.option("--original", type=_FILE, help="For an ONNX file: the model it came from, to compare with.")
@click.option(
    "--rows", type=click.IntRange(1), default=DEFAULT_ROWS, show_default=True, help="Rows to check."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, min_open=True),
    default=DEFAULT_TOLERANCE,
    show_default=True,
    help="Largest difference from the original model (relative for scores above 1).",
)
@click.option("--name", help="Name of the model.")
@click.option("--version", help="Version of the model.")
@click.option("--task", type=click.Choice(["binary", "multiclass", "regression"]))
@click.option("--target", help="Column with the truth: no feature, and where class labels come from.")
@click.option("--time-column", help="Column with the event time: no feature; orders the drift baseline.")
@click.option(
    "--held-out", type=_FILE, help="Data the model was not fitted to: the score's drift baseline is of it."
)
@click.option(
    "--baseline/--no-baseline",
    default=True,
    show_default=True,
    help="Fit the drift baseline from the data.",
)
@click.option(
    "--exclude", callback=_names, metavar="A,B,...", default="", help="Other columns that are no features."
)
@click.option(
    "--features", callback=_names, metavar="A,B,...", help="The features in the order of the model's columns."
)
@click.option(
    "--nullable",
    callback=_names,
    metavar="A,B,...",
    default="",
    help="Features that may be null though the data has none.",
)
@click.option("--ranges", type=click.Choice(["none", "observed"]), default="none", show_default=True)
@click.option(
    "--margin",
    type=click.FloatRange(0),
    default=0.5,
    show_default=True,
    help="With --ranges observed: widen both ends by this fraction of the range.",
)
@click.option("--open-categories", is_flag=True, help="Score strings that the data does not hold, too.")
@click.option("--score", help="ONNX output with the score.")
@click.option("--positive", type=click.IntRange(0, 1), help="Column of the positive class.")
@click.option(
    "--threshold", type=click.FloatRange(0, 1), help="Score at which a binary label turns positive."
)
@click.option("--classes", callback=_names, metavar="A,B,...", help="Class labels in column order.")
@click.option("--segments", callback=_names, metavar="A,B,...", help="Features to break reports down by.")
@click.option("--window", type=click.IntRange(1), help="Length of a report window in seconds.")
@click.option(
    "--seasonality",
    type=click.Choice(["none", "day", "week"]),
    help="The longest rhythm that events may have; the drift baseline must span two rounds of it. "
    "[default: week]",
)
@click.option("--description", help="A sentence for people.")
def package(
    *,
    model: Path,
    data: Path,
    out: Path | None,
    toml: Path | None,
    original: Path | None,
    rows: int,
    tolerance: float,
    ranges: str,
    margin: float,
    held_out: Path | None,
    baseline: bool,
    **wished: Any,
) -> None:
    """Make a bundle of MODEL: .onnx, XGBoost .json/.ubj, LightGBM .txt, or a pickled estimator.

    Rows of the training data are scored with the new bundle and compared with the original model;
    above the tolerance nothing is written. Opening a pickled file (.pkl, .pickle, .joblib) runs
    code that is in it: only package files of your own.
    """
    wishes = Wishes(**wished, ranges=margin if ranges == "observed" else None)
    packaged = package_bundle(
        model,
        data,
        out,
        toml=toml,
        wishes=wishes,
        original=original,
        rows=rows,
        tolerance=tolerance,
        baseline=baseline,
        held_out=held_out,
    )
    _print_packaged(packaged, tolerance)


def _print_packaged(packaged: Packaged, tolerance: float) -> None:
    console = Console()
    bundle, found = packaged.bundle, packaged.comparison
    console.print(f"model        {packaged.source}", highlight=False)
    console.print(f"rows scored  {packaged.rows}", highlight=False)
    if found is None:
        console.print("difference   not measured: an ONNX file has no original (--original names one)")
    else:
        console.print(
            f"difference   {found.max_difference:.3g} at most, tolerance {tolerance:g}", highlight=False
        )
    console.print(f"bundle       {bundle.path}", highlight=False, soft_wrap=True)
    console.print(f"digest       {bundle.digest}", highlight=False, soft_wrap=True)
    if packaged.baseline is not None:
        from services.cli.baseline_view import print_baseline

        print_baseline(packaged.baseline)


@click.command()
@click.argument("bundle", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def inspect(bundle: Path, as_json: bool) -> None:
    """Show what the bundle in the directory BUNDLE declares, after checking its checksums."""
    loaded = load_bundle(bundle)
    if as_json:
        click.echo(json.dumps(_as_json(loaded), indent=2, ensure_ascii=False))
        return
    console = Console()
    console.print(_identity(loaded))
    console.print(_features(loaded))


def _as_json(bundle: Bundle) -> dict[str, Any]:
    return {
        "path": str(bundle.path),
        "digest": bundle.digest,
        "size_bytes": bundle.size,
        "files": dict(bundle.files),
        "spec": msgspec.to_builtins(bundle.spec),
    }


def _identity(bundle: Bundle) -> Table:
    spec = bundle.spec
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = {
        "model": f"{spec.name} version {spec.version}",
        "description": spec.description,
        "task": spec.task,
        "classes": ", ".join(spec.classes),
        "score": f"output {spec.output.score}",
        "threshold": f"{spec.threshold:g}" if spec.task == "binary" else "",
        "window": f"{spec.window} s",
        "drift budget": f"{spec.false_alarms_per_30_days:g} false alarms in 30 days",
        "label horizon": f"{spec.label_horizon / 86_400:g} days",
        "segments": ", ".join(spec.segments),
        "baseline": "yes" if bundle.baseline_path else "none",
        "size": f"{bundle.size} bytes",
        "digest": bundle.digest,
    }
    for key, value in rows.items():
        if value:
            table.add_row(key, value)
    return table


def _features(bundle: Bundle) -> Table:
    table = Table("#", "feature", "kind", "type", "unit", "allowed", "null", box=None, pad_edge=False)
    for index, feature in enumerate(bundle.spec.features):
        kind = feature.kind if feature.kind != "categorical" else f"{feature.kind}, {feature.encoding}"
        null = "yes" if feature.nullable else "no"
        unit = feature.unit or ""
        table.add_row(str(index), feature.name, kind, feature.dtype, unit, _allowed(feature), null)
    return table


def _allowed(feature: FeatureSpec, shown: int = 6) -> str:
    if feature.kind == "boolean":
        return "true, false"
    if feature.kind == "numeric":
        low = "" if feature.min is None else f"from {feature.min:g} "
        return (low + ("" if feature.max is None else f"to {feature.max:g}")).strip() or "any number"
    if feature.categories is None:
        return "any string"
    more = len(feature.categories) - shown
    return ", ".join(feature.categories[:shown]) + (f" and {more} more" if more > 0 else "")


@click.command()
@click.argument("bundle", type=_PATH)
@click.option(
    "--rows", type=_FILE, help="Data to score; left out, rows are made up from the declared ranges."
)
@click.option(
    "--count", type=click.IntRange(1), default=VALIDATE_ROWS, show_default=True, help="Rows to score."
)
@click.pass_context
def validate(ctx: click.Context, bundle: Path, rows: Path | None, count: int) -> None:
    """Check the bundle in the directory BUNDLE: checksums, contract, graph, and rows through it."""
    checks = validate_bundle(bundle, rows, count)
    words = {True: "ok", False: "failed", None: "skipped"}
    for check in checks:
        click.echo(f"{words[check.ok]:8}{check.name:12}{check.detail}")
    if not all(check.ok for check in checks):
        ctx.exit(1)
