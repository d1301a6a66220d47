"""A bundle written whole or not at all: a hidden directory beside the target, then one rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from shared.bundle.checksums import SUMS_NAME, file_digest, format_sums
from shared.bundle.spec import ModelSpec
from shared.errors import BundleError


def encode_spec(spec: ModelSpec) -> bytes:
    """Return a ``model.toml`` that decodes to ``spec``; what equals its default is left out.

    Examples
    --------
    >>> from shared.bundle.spec import FeatureSpec, OutputSpec, decode_spec
    >>> spec = ModelSpec(name="m", version="1", task="regression", output=OutputSpec(score="y"),
    ...                  features=(FeatureSpec(name="x", min=0),))
    >>> decode_spec(encode_spec(spec)) == spec
    True
    """
    return msgspec.toml.encode(_without_defaults(spec))


def _without_defaults(struct: msgspec.Struct) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if value is None or value == field.default:
            continue
        found[field.name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return _without_defaults(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


@contextmanager
def new_bundle(target: Path, files: Mapping[str, bytes]) -> Iterator[Path]:
    """Yield a draft of the bundle to try; it becomes ``target`` when the block ends without an error.

    Parameters
    ----------
    target
        Directory that must not exist; its parent must.
    files
        Content by file name; ``SHA256SUMS`` is computed.

    Raises
    ------
    BundleError
        ``target`` exists, or its parent does not.
    """
    check_absent(target)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        _fill(draft, files)
        yield draft
        check_absent(target)
        draft.rename(target)
        _sync(target.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)  # gone already after the rename


def add_file(draft: Path, name: str, content: bytes) -> None:
    """Add a file to a draft; ``SHA256SUMS`` is written anew."""
    _write(draft / name, content)
    (draft / SUMS_NAME).unlink()
    names = sorted(path.name for path in draft.iterdir())
    _write(draft / SUMS_NAME, format_sums({name: file_digest(draft / name) for name in names}))


def check_absent(target: Path) -> None:
    """Check that ``target`` is free to be written.

    Raises
    ------
    BundleError
        It exists already, or its parent is no directory.
    """
    if os.path.lexists(target):
        raise BundleError(
            f"{target} exists already; a bundle is never overwritten, choose another path or version"
        )
    if not target.parent.is_dir():
        raise BundleError(f"{target.parent} is no directory, and the bundle is to be written into it")


def _fill(directory: Path, files: Mapping[str, bytes]) -> None:
    directory.chmod(0o755)  # mkdtemp's 0700 would hide the bundle from a service's own user
    for name, content in files.items():
        _write(directory / name, content)
    _write(directory / SUMS_NAME, format_sums({name: file_digest(directory / name) for name in files}))


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(directory: Path) -> None:
    """Make a rename in ``directory`` survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
