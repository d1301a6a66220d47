"""A bundle on disk, verified: nothing of it is believed before ``SHA256SUMS`` has been checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.bundle.checksums import MAX_SUMS_BYTES, SUMS_NAME, check_directory, check_regular, parse_sums
from shared.bundle.spec import ModelSpec, decode_spec
from shared.errors import BundleError

MODEL_NAME = "model.onnx"
SPEC_NAME = "model.toml"
BASELINE_NAME = "baseline.json"

MAX_MODEL_BYTES = 2 << 30
"""An ONNX file is one protobuf message, which cannot be larger than this."""
MAX_SPEC_BYTES = 1 << 20
MAX_OTHER_BYTES = 64 << 20


def limit_of(name: str) -> int:
    """Return the bytes that a file of a bundle may have, for whoever receives one and has not checked it yet.

    Examples
    --------
    >>> limit_of("model.toml"), limit_of("SHA256SUMS")
    (1048576, 65536)
    """
    limits = {MODEL_NAME: MAX_MODEL_BYTES, SPEC_NAME: MAX_SPEC_BYTES, SUMS_NAME: MAX_SUMS_BYTES}
    return limits.get(name, MAX_OTHER_BYTES)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle.

    Attributes
    ----------
    path
        Its directory.
    spec
        What ``model.toml`` says.
    digest
        Hexadecimal SHA-256 of ``SHA256SUMS``, and so of every byte in the bundle: two bundles
        are the same if and only if their digests are.
    files
        Hexadecimal SHA-256 by file name, without ``SHA256SUMS`` itself.
    """

    path: Path
    spec: ModelSpec
    digest: str
    files: Mapping[str, str] = field(repr=False)

    @property
    def model_path(self) -> Path:
        """Path of the ONNX graph."""
        return self.path / MODEL_NAME

    @property
    def baseline_path(self) -> Path | None:
        """Path of the drift baseline, or None where the bundle has none."""
        return self.path / BASELINE_NAME if BASELINE_NAME in self.files else None

    @property
    def size(self) -> int:
        """Bytes of all its files together."""
        return sum((self.path / name).stat().st_size for name in (*self.files, SUMS_NAME))


def load_bundle(
    path: Path,
    *,
    max_model_bytes: int = MAX_MODEL_BYTES,
    max_spec_bytes: int = MAX_SPEC_BYTES,
    max_other_bytes: int = MAX_OTHER_BYTES,
) -> Bundle:
    """Return the bundle in the directory ``path`` after checking every byte of it.

    The graph itself is not opened: :func:`shared.bundle.signature.check_signature` does that.

    Raises
    ------
    BundleError
        A file is missing, unlisted, a link, too large or damaged, or ``model.toml`` contradicts
        itself; the message names the file, and the key where one is at fault.
    """
    digest, files = verify_files(
        path,
        max_model_bytes=max_model_bytes,
        max_spec_bytes=max_spec_bytes,
        max_other_bytes=max_other_bytes,
    )
    return Bundle(path, read_spec(path), digest, files)


def read_spec(path: Path) -> ModelSpec:
    """Return what the ``model.toml`` in the directory ``path`` says.

    Raises
    ------
    BundleError
        It cannot be read, or contradicts itself; the message names the key.
    """
    try:
        return decode_spec((path / SPEC_NAME).read_bytes())
    except OSError as error:
        raise BundleError(f"{error.filename or path} cannot be read: {error.strerror}") from error


def verify_files(
    path: Path,
    *,
    max_model_bytes: int = MAX_MODEL_BYTES,
    max_spec_bytes: int = MAX_SPEC_BYTES,
    max_other_bytes: int = MAX_OTHER_BYTES,
) -> tuple[str, dict[str, str]]:
    """Return the digest of a bundle and the SHA-256 of each of its files, all checked.

    Raises
    ------
    BundleError
        A file is missing, unlisted, a link, too large or damaged; the message names the file.
    """
    if not path.is_dir():
        raise BundleError(f"{path} is no directory, and a bundle is one")
    limits = {MODEL_NAME: max_model_bytes, SPEC_NAME: max_spec_bytes}
    try:
        check_regular(path / SUMS_NAME, MAX_SUMS_BYTES)
        raw = (path / SUMS_NAME).read_bytes()
        files = parse_sums(raw)
        for name in (MODEL_NAME, SPEC_NAME):
            if name not in files:
                raise BundleError(f"{path / SUMS_NAME} does not list {name}, and every bundle has one")
        check_directory(path, files, limits, max_other_bytes)
    except OSError as error:
        raise BundleError(f"{error.filename or path} cannot be read: {error.strerror}") from error
    return hashlib.sha256(raw).hexdigest(), files
