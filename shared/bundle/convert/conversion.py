"""What every converter needs: failures as sentences, and a graph cut down to its score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from shared.bundle.read import MAX_MODEL_BYTES
from shared.errors import BundleError

_SHOWN = 200


@contextmanager
def converted(library: str, version: str, names: Sequence[str], hints: Mapping[str, str]) -> Iterator[None]:
    """Turn whatever a converter raises into one sentence.

    Parameters
    ----------
    library, version
        The converter.
    names
        What the model's pieces are called; the message names the one that the error or a hint is
        about, else the last.
    hints
        What to do about a piece that is known not to convert, by the beginning of its name.

    Raises
    ------
    BundleError
        The block raised anything at all.

    Examples
    --------
    >>> with converted("skl2onnx", "1.20", ["Scaler", "Net"], {"Sca": "use none"}):
    ...     raise ValueError("no such node")
    Traceback (most recent call last):
    shared.errors.BundleError: skl2onnx 1.20 cannot convert Scaler: use none (it said: no such node)
    """
    try:
        yield
    except BundleError:
        raise
    except Exception as error:  # converters raise anything, AttributeError and KeyError among them
        name, hint = _blame(names, hints, str(error))
        lines = str(error).strip().splitlines()
        said = (lines[0] if lines else type(error).__name__)[:_SHOWN]
        raise BundleError(f"{library} {version} cannot convert {name}: {hint} (it said: {said})") from error


def _blame(names: Sequence[str], hints: Mapping[str, str], said: str) -> tuple[str, str]:
    """Return the name of the piece at fault, and what to do about it."""
    for name in names:
        for beginning, hint in hints.items():
            if name.startswith(beginning):
                return name, hint
    # Converters name the class they lack; an inner one is likelier than the model as a whole.
    named = [name for name in names if name in said]
    return (named or names)[-1], (
        "use a model that the converter supports, another version of the converter, or export the model to "
        "ONNX yourself and package the .onnx file"
    )


def serialise(graph: Any, score: str) -> bytes:
    """Return the bytes of a converted graph, with the score as its only output.

    The label output goes: labels come from the score and ``threshold``, and ONNX Runtime then
    need not compute them.

    Raises
    ------
    BundleError
        The graph has no output named ``score``, or is larger than an ONNX file can be.
    """
    names = [node.name for node in graph.graph.output]
    if score not in names:
        raise BundleError(f"output.score is {score!r}, the converted graph has {', '.join(names)}")
    for node in [node for node in graph.graph.output if node.name != score]:
        graph.graph.output.remove(node)
    if graph.ByteSize() > MAX_MODEL_BYTES:
        raise BundleError(f"the converted graph is {graph.ByteSize()} bytes, the limit is {MAX_MODEL_BYTES}")
    return bytes(graph.SerializeToString())
