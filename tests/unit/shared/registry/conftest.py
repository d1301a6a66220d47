from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

MakeBundle = Callable[..., Path]


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Return a function that writes a bundle; the registry never opens the graph, so any bytes do."""

    def make(version: str = "1", *, name: str = "flights", graph: bytes = b"graph", **files: bytes) -> Path:
        spec = (
            f'name = "{name}"\nversion = "{version}"\ntask = "regression"\n'
            'output = {score = "y"}\nfeatures = [{name = "x"}]\n'
        )
        contents = {"model.onnx": graph, "model.toml": spec.encode()}
        contents |= {file.replace("_", "."): raw for file, raw in files.items()}
        directory = tmp_path / "made" / f"{name}-{version}-{hashlib.sha256(graph).hexdigest()[:8]}"
        directory.mkdir(parents=True)
        for file, raw in contents.items():
            (directory / file).write_bytes(raw)
        lines = [f"{hashlib.sha256(raw).hexdigest()}  {file}\n" for file, raw in sorted(contents.items())]
        (directory / "SHA256SUMS").write_text("".join(lines))
        return directory

    return make
