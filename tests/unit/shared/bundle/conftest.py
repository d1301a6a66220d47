from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

SPEC = b"""\
name = "demo"
version = "1"
task = "regression"
output = {score = "variable"}
features = [{name = "x"}]
"""

WriteBundle = Callable[..., Path]


def write_sums(directory: Path) -> None:
    """Write SHA256SUMS over what lies in the directory, as ``sha256sum *`` would."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"
        for file in sorted(directory.iterdir())
        if file.name != "SHA256SUMS"
    ]
    (directory / "SHA256SUMS").write_text("".join(lines))


@pytest.fixture
def bundle_directory(tmp_path: Path) -> WriteBundle:
    def write(**files: bytes) -> Path:
        directory = tmp_path / "bundle"
        directory.mkdir()
        contents = {"model.onnx": b"graph", "model.toml": SPEC, **files}
        for name, content in contents.items():
            (directory / name).write_bytes(content)
        write_sums(directory)
        return directory

    return write
