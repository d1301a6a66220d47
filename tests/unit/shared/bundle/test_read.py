"""A bundle is believed only when SHA256SUMS covers every file, and every digest is right."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from shared.bundle.checksums import format_sums, parse_sums
from shared.bundle.read import load_bundle
from shared.errors import BundleError
from tests.unit.shared.bundle.conftest import SPEC, WriteBundle, write_sums


def refusal(path: Path, **limits: int) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(path, **limits)
    return str(caught.value)


def test_a_whole_bundle_is_read(bundle_directory: WriteBundle) -> None:
    path = bundle_directory(**{"baseline.json": b"{}"})
    bundle = load_bundle(path)
    sums = (path / "SHA256SUMS").read_bytes()
    assert bundle.spec.name == "demo"
    assert bundle.model_path == path / "model.onnx"
    assert bundle.baseline_path == path / "baseline.json"
    assert bundle.digest == hashlib.sha256(sums).hexdigest()
    assert bundle.files["model.onnx"] == hashlib.sha256(b"graph").hexdigest()
    assert bundle.size == len(b"graph") + len(SPEC) + len(b"{}") + len(sums)


def test_the_baseline_is_optional(bundle_directory: WriteBundle) -> None:
    assert load_bundle(bundle_directory()).baseline_path is None


def test_the_digest_changes_with_any_byte(bundle_directory: WriteBundle) -> None:
    path = bundle_directory()
    before = load_bundle(path).digest
    (path / "model.onnx").write_bytes(b"graph2")
    write_sums(path)
    assert load_bundle(path).digest != before


def test_the_sha256sum_command_agrees_with_our_writer(bundle_directory: WriteBundle) -> None:
    path = bundle_directory()
    (path / "SHA256SUMS").write_bytes(format_sums(parse_sums((path / "SHA256SUMS").read_bytes())))
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=path, check=True)


@pytest.mark.parametrize("name", ["model.onnx", "model.toml", "baseline.json"])
def test_one_flipped_bit_is_named(bundle_directory: WriteBundle, name: str) -> None:
    path = bundle_directory(**{"baseline.json": b"{}"})
    content = bytearray((path / name).read_bytes())
    content[0] ^= 1
    (path / name).write_bytes(content)
    assert re.match(rf".*/{name} is damaged or was changed", refusal(path))


def test_an_unlisted_file_is_named(bundle_directory: WriteBundle) -> None:
    path = bundle_directory()
    (path / "extra.py").write_text("print('hello')")
    assert refusal(path) == f"{path / 'extra.py'} is not listed in SHA256SUMS"


def test_an_unlisted_directory_is_named(bundle_directory: WriteBundle) -> None:
    path = bundle_directory()
    (path / "sub").mkdir()
    assert refusal(path) == f"{path / 'sub'} is not listed in SHA256SUMS"


def test_a_listed_and_missing_file_is_named(bundle_directory: WriteBundle) -> None:
    path = bundle_directory(**{"baseline.json": b"{}"})
    (path / "baseline.json").unlink()
    assert refusal(path) == f"{path / 'baseline.json'} is listed in SHA256SUMS and missing"


@pytest.mark.parametrize("missing", ["model.onnx", "model.toml"])
def test_a_bundle_without_model_or_contract_is_refused(bundle_directory: WriteBundle, missing: str) -> None:
    path = bundle_directory()
    (path / missing).unlink()
    write_sums(path)
    assert refusal(path) == f"{path / 'SHA256SUMS'} does not list {missing}, and every bundle has one"


def test_a_directory_without_checksums_is_refused(bundle_directory: WriteBundle) -> None:
    path = bundle_directory()
    (path / "SHA256SUMS").unlink()
    assert refusal(path) == f"{path / 'SHA256SUMS'} is missing"


def test_a_file_is_no_bundle(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere") == f"{tmp_path / 'nowhere'} is no directory, and a bundle is one"


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "sub/model.onnx", "..", ".", "C:\\x", ".hidden", "SHA256SUMS", "-rf", "a b"],
)
def test_a_name_that_leaves_the_directory_is_refused(bundle_directory: WriteBundle, name: str) -> None:
    path = bundle_directory()
    with (path / "SHA256SUMS").open("a") as stream:
        stream.write(f"{'0' * 64}  {name}\n")
    assert refusal(path) == f"SHA256SUMS line 3: {name!r} is no plain file name"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("nonsense", "line 1 is not 'digest  name'"),
        ("0" * 63 + "  a", "line 1 is not"),
        ("0" * 64 + "  a\n" + "0" * 64 + "  a", "line 2 lists 'a' a second time"),
        ("é", "is not ASCII text"),
    ],
)
def test_malformed_checksum_lines_are_refused(line: str, problem: str) -> None:
    with pytest.raises(BundleError, match=re.escape(problem)):
        parse_sums(line.encode())


def test_a_symbolic_link_is_refused_even_with_the_right_digest(bundle_directory: WriteBundle) -> None:
    path = bundle_directory()
    outside = path.parent / "outside.onnx"
    (path / "model.onnx").rename(outside)
    (path / "model.onnx").symlink_to(outside)
    assert refusal(path) == f"{path / 'model.onnx'} is a symbolic link; a bundle holds its files itself"


def test_linked_checksums_are_refused(bundle_directory: WriteBundle) -> None:
    path = bundle_directory()
    (path / "SHA256SUMS").rename(path.parent / "sums")
    (path / "SHA256SUMS").symlink_to(path.parent / "sums")
    assert "SHA256SUMS is a symbolic link" in refusal(path)


def test_a_pipe_is_refused_without_reading_it(bundle_directory: WriteBundle) -> None:
    path = bundle_directory()
    (path / "model.onnx").unlink()
    os.mkfifo(path / "model.onnx")
    assert refusal(path) == f"{path / 'model.onnx'} is not a regular file"


@pytest.mark.parametrize(
    ("limit", "name"), [("max_model_bytes", "model.onnx"), ("max_spec_bytes", "model.toml")]
)
def test_a_file_above_its_limit_is_refused(bundle_directory: WriteBundle, limit: str, name: str) -> None:
    path = bundle_directory()
    size = (path / name).stat().st_size
    assert load_bundle(path, **{limit: size}).spec.version == "1"
    message = refusal(path, **{limit: size - 1})
    assert message == f"{path / name} is {size} bytes, the limit is {size - 1}"


def test_a_wrong_key_in_the_contract_is_named(bundle_directory: WriteBundle) -> None:
    path = bundle_directory(**{"model.toml": SPEC.replace(b"version", b"verzion")})
    assert "verzion" in refusal(path)
