"""Is this bundle fit to serve? One verdict per check, in the order in which they build on each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.bundle.convert.graph import open_session
from shared.bundle.data import as_columns, read_table, sample_rows
from shared.bundle.package import score
from shared.bundle.read import MODEL_NAME, read_spec, verify_files
from shared.bundle.signature import check_signature
from shared.bundle.spec import ModelSpec
from shared.bundle.synthetic import synthetic_rows
from shared.errors import ServiceError
from shared.scoring.scorer import Scorer

DEFAULT_ROWS = 500


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict.

    Attributes
    ----------
    name
        What was checked.
    ok
        True, False, or None where an earlier failure left nothing to check.
    detail
        What was found, or what is wrong.
    """

    name: str
    ok: bool | None
    detail: str


def validate(path: Path, rows: Path | None = None, count: int = DEFAULT_ROWS) -> list[Check]:
    """Return the verdicts on the bundle in ``path``; the bundle is fit when every ``ok`` is True.

    Parameters
    ----------
    path
        The bundle.
    rows
        Data to score (CSV, Parquet, Arrow, Feather); left out, rows are made up from the contract.
    count
        How many rows.
    """
    run = _Run(path, rows, count)
    steps: list[tuple[str, Callable[[], str]]] = [
        ("checksums", run.checksums),
        ("model.toml", run.contract),
        ("graph", run.graph),
        ("signature", run.signature),
        ("rows", run.rows),
    ]
    checks: list[Check] = []
    for name, step in steps:
        if checks and not checks[-1].ok:
            checks.append(Check(name, None, "not checked, since the check before it failed"))
            continue
        try:
            checks.append(Check(name, True, step()))
        except ServiceError as error:
            checks.append(Check(name, False, str(error)))
    return checks


class _Run:
    """The steps; each leaves to the next what it has read."""

    spec: ModelSpec
    session: Any

    def __init__(self, path: Path, data: Path | None, count: int) -> None:
        self._path = path
        self._data = data
        self._count = count

    def checksums(self) -> str:
        digest, files = verify_files(self._path)
        return f"{len(files)} files, digest {digest[:12]}"

    def contract(self) -> str:
        self.spec = read_spec(self._path)
        spec = self.spec
        return f"{spec.name} version {spec.version}, {spec.task}, {len(spec.features)} features"

    def graph(self) -> str:
        self.session = open_session(self._path / MODEL_NAME, MODEL_NAME)
        return f"{(self._path / MODEL_NAME).stat().st_size} bytes, loaded by ONNX Runtime"

    def signature(self) -> str:
        check_signature(self.spec, self.session)
        inputs = [node.name for node in self.session.get_inputs()]
        took = f"one input per feature ({len(inputs)})" if len(inputs) > 1 else f"input {inputs[0]}"
        return f"{took}, score from {self.spec.output.score}"

    def rows(self) -> str:
        if self._data is None:
            rows = synthetic_rows(self.spec, self._count)
            source = f"{len(rows)} made-up rows (from the declared ranges and categories, no real data)"
        else:
            rows = sample_rows(read_table(self._data), self.spec.features, self._count)
            source = f"{len(rows)} rows of {self._data.name}"
        scores = score(Scorer(self.spec, self.session), as_columns(self.spec, rows))
        return f"{source}, scores from {scores.min():.4g} to {scores.max():.4g}"
