"""A model and its training data in, a bundle out; refused unless the bundle scores as the model does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.bundle.agreement import check_agreement
from shared.bundle.compare import DEFAULT_TOLERANCE, Comparison, compare, refuse_difference
from shared.bundle.convert.graph import OnnxFile, open_session
from shared.bundle.convert.open import open_model
from shared.bundle.convert.original import Floats, Original
from shared.bundle.data import Row, as_columns, read_table, sample_rows
from shared.bundle.extras import need
from shared.bundle.infer import Wishes, apply_wishes, infer_spec
from shared.bundle.read import BASELINE_NAME, MAX_SPEC_BYTES, MODEL_NAME, SPEC_NAME, Bundle, load_bundle
from shared.bundle.signature import check_signature
from shared.bundle.spec import ModelSpec, decode_spec
from shared.bundle.write import add_file, check_absent, encode_spec, new_bundle
from shared.errors import BundleError
from shared.scoring.scorer import Scorer

if TYPE_CHECKING:
    from shared.drift.baseline import Baseline

DEFAULT_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Packaged:
    """What came of packaging.

    Attributes
    ----------
    bundle
        The new bundle, verified.
    source
        What the model was, for people.
    rows
        Rows of the data that were scored.
    comparison
        The graph against the original model; None where the model was an ONNX file alone.
    baseline
        The drift baseline written into the bundle; None where none was wanted.
    """

    bundle: Bundle
    source: str
    rows: int
    comparison: Comparison | None
    baseline: Baseline | None = None


def package(
    model: Any,
    data: Path | Any,
    target: Path | None = None,
    *,
    toml: Path | None = None,
    wishes: Wishes | None = None,
    original: Any = None,
    rows: int = DEFAULT_ROWS,
    tolerance: float = DEFAULT_TOLERANCE,
    baseline: bool = True,
    held_out: Path | Any = None,
) -> Packaged:
    """Write the bundle of a model and return it, once real rows have been scored with it.

    Parameters
    ----------
    model
        An estimator or booster, or the path of an ``.onnx``, XGBoost ``.json`` or ``.ubj``,
        LightGBM ``.txt``, or pickled (``.pkl``, ``.pickle``, ``.joblib``) file. **Unpickling runs
        code that the file contains: only open files of your own.**
    data
        Training data: a path (CSV, Parquet, Arrow, Feather) or a ``pyarrow.Table``.
    target
        Directory to make; left out, ``NAME-VERSION`` in the working directory.
    toml
        A ``model.toml``; left out, the contract is inferred from the data.
    wishes
        What replaces the inferred or given contract.
    original
        For an ONNX file: the model it was converted from, to compare with.
    rows
        How many rows of the data to check, spread evenly over it; the first row with each category
        and with each feature missing come on top.
    tolerance
        Largest difference allowed between graph and original model: absolute up to scores of 1,
        relative beyond.
    baseline
        Whether to fit the drift baseline from the data, with the wishes' time column and target.
    held_out
        Data that the model was not fitted to, as ``data``: the score's part of the baseline is fitted
        from it.

    Raises
    ------
    BundleError
        The model cannot be read or converted, the data breaks the contract, graph and contract
        do not fit, or the scores differ; nothing is left at ``target``.
    """
    if target is not None:
        check_absent(target)  # before the work, not only after it
    wishes = wishes or Wishes()
    source = open_model(model)
    reference = open_model(original) if original is not None else _reference(source, model)
    table = read_table(data) if isinstance(data, Path) else data
    rest = read_table(held_out) if isinstance(held_out, Path) else held_out
    contract = _contract(source, table, toml, wishes)
    spec = decode_spec(contract)
    for named in {id(one): one for one in (source, reference) if one is not None}.values():
        check_agreement(spec, named.facts)
    target = target or Path(f"{spec.name}-{spec.version}")
    graph = source.to_onnx(spec)
    checked = sample_rows(table, spec.features, rows)
    with new_bundle(target, {MODEL_NAME: graph, SPEC_NAME: contract}) as draft:
        tried = load_bundle(draft)
        comparison = try_bundle(tried, checked, reference, tolerance)
        fitted = _fit_baseline(tried, table, rest, wishes) if baseline else None
        if fitted is not None:
            add_file(draft, BASELINE_NAME, fitted.encode())
            load_bundle(draft)
    return Packaged(load_bundle(target), source.title, len(checked), comparison, fitted)


def try_bundle(
    bundle: Bundle, rows: list[Row], reference: Original | None, tolerance: float
) -> Comparison | None:
    """Score rows with a bundle and compare with the original model, where there is one.

    Raises
    ------
    BundleError
        The graph does not fit the contract, fails on a row, or differs from the original.
    """
    session = open_session(bundle.model_path, MODEL_NAME)
    check_signature(bundle.spec, session)
    columns = as_columns(bundle.spec, rows)
    ours = score(Scorer(bundle.spec, session), columns)
    if reference is None:
        return None
    comparison = compare(ours, _predict(reference, bundle.spec, columns), tolerance)
    refuse_difference(comparison, tolerance)
    return comparison


def score(scorer: Scorer, columns: list[Any]) -> Floats:
    """Return the scores of columns, ``(n,)`` or ``(n, k)``.

    Raises
    ------
    BundleError
        The model fails on a row, or answers with a value that is not finite.
    """
    scores = scorer.predict(columns)
    if scores.failed:
        row, error = min(scores.failed.items())
        raise BundleError(
            f"the model fails on {len(scores.failed)} of {len(scores.score)} rows; checked row {row}: {error}"
        ) from error
    return scores.score if scores.probabilities is None else scores.probabilities


def _fit_baseline(bundle: Bundle, table: Any, held_out: Any, wishes: Wishes) -> Baseline:
    """Return the baseline of a bundle that scores; SciPy is imported here, for few need it."""
    need("scipy.special", "package")
    from shared.bundle.baseline import Training, fit_bundle_baseline

    training = Training(table, wishes.time_column, wishes.target, held_out)
    session = open_session(bundle.model_path, MODEL_NAME)
    return fit_bundle_baseline(bundle.spec, Scorer(bundle.spec, session), training)


def _predict(reference: Original, spec: ModelSpec, columns: list[Any]) -> Floats:
    try:
        return reference.predict(spec, columns)
    except BundleError:
        raise
    except Exception as error:  # the libraries raise anything on a wrong width or an unknown category
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BundleError(f"the original model ({reference.title}) fails on these rows: {first}") from error


def _reference(source: Original, model: Any) -> Original | None:
    """Return what to compare with: an ONNX file has nothing but itself."""
    return None if isinstance(source, OnnxFile) else source


def _contract(source: Original, table: Any, toml: Path | None, wishes: Wishes) -> bytes:
    """Return the bytes of ``model.toml``: a given file as it is, unless a wish changes it."""
    if toml is None:
        return encode_spec(infer_spec(source.facts, table, wishes))
    try:
        if toml.stat().st_size > MAX_SPEC_BYTES:
            raise BundleError(f"{toml} is larger than {MAX_SPEC_BYTES} bytes")
        raw = toml.read_bytes()
    except OSError as error:
        raise BundleError(f"{toml} cannot be read: {error.strerror}") from error
    given = decode_spec(raw)
    wished = apply_wishes(given, wishes)
    return raw if wished == given else encode_spec(wished)
