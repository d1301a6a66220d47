"""A bundle appears whole or not at all, and never over another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from shared.bundle.read import load_bundle
from shared.bundle.spec import FeatureSpec, ModelSpec, OutputSpec, decode_spec
from shared.bundle.write import encode_spec, new_bundle
from shared.errors import BundleError
from tests.unit.shared.bundle.conftest import SPEC

FILES = {"model.onnx": b"graph", "model.toml": SPEC}


def test_the_draft_can_be_read_before_it_is_named(tmp_path: Path) -> None:
    target = tmp_path / "demo-1"
    with new_bundle(target, FILES) as draft:
        assert not target.exists()
        digest = load_bundle(draft).digest
    assert load_bundle(target).digest == digest
    assert list(tmp_path.iterdir()) == [target]
    assert oct(target.stat().st_mode)[-3:] == "755"


def test_nothing_is_left_when_the_draft_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no good"), new_bundle(tmp_path / "demo-1", FILES):
        raise RuntimeError("no good")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "directory", "dangling link"])
def test_what_exists_is_never_overwritten(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "demo-1"
    if kind == "file":
        target.write_text("mine")
    elif kind == "directory":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="demo-1 exists already"), new_bundle(target, FILES):
        pass
    assert list(tmp_path.iterdir()) == [target]


def test_a_target_that_appeared_meanwhile_is_kept(tmp_path: Path) -> None:
    target, theirs = tmp_path / "demo-1", tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").write_text("theirs")
    with pytest.raises(BundleError, match="exists already"), new_bundle(target, FILES):
        shutil.copytree(theirs, target)
    assert [path.name for path in target.iterdir()] == ["file"]
    assert {path.name for path in tmp_path.iterdir()} == {"demo-1", "theirs"}


def test_a_missing_parent_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"sub is no directory"), new_bundle(tmp_path / "sub" / "x", FILES):
        pass


def test_every_key_survives_a_round_trip() -> None:
    spec = ModelSpec(
        name="flights",
        version="2013.1",
        task="binary",
        features=(
            FeatureSpec(name="delay", dtype="float64", unit="minutes", min=-60, max=1e6, nullable=True),
            FeatureSpec(name="hour of day", dtype="int64", min=0, max=23),
            FeatureSpec(
                name="flughafen/ü",
                kind="categorical",
                dtype="string",
                categories=('a"b', "Zürich", ""),
                encoding="string",
                unknown="missing",
                nullable=True,
            ),
            FeatureSpec(name="rain", kind="boolean", dtype="bool"),
        ),
        output=OutputSpec(score="probabilities", positive=0),
        classes=("ontime", "late"),
        threshold=0.25,
        window=300,
        false_alarms_per_30_days=0.5,
        label_horizon=3600,
        segments=("rain",),
        description="Late by 15 minutes or more?",
    )
    assert decode_spec(encode_spec(spec)) == spec
