"""A bundle that comes through a pipe."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.cli.bundle_stream import unpacked
from shared.errors import BundleError


def archive(*members: tuple[str, bytes], mode: str = "w") -> io.BytesIO:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode=mode) as tar:
        folder = tarfile.TarInfo("flights-2")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    raw.seek(0)
    return raw


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_its_files_lie_in_one_directory_until_it_is_read(mode: str) -> None:
    with unpacked(archive(("flights-2/model.onnx", b"graph"), ("./SHA256SUMS", b"sums"), mode=mode)) as found:
        assert {path.name: path.read_bytes() for path in found.iterdir()} == {
            "model.onnx": b"graph",
            "SHA256SUMS": b"sums",
        }
    assert not found.exists()


@pytest.mark.parametrize("name", ["../../etc/cron.d/job", "/etc/cron.d/job"])
def test_no_name_leads_out_of_it(name: str) -> None:
    with unpacked(archive((name, b"x"))) as found:
        assert [path.name for path in found.iterdir()] == ["job"]


def test_links_are_refused() -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        link = tarfile.TarInfo("model.onnx")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        tar.addfile(link)
    raw.seek(0)
    with pytest.raises(BundleError, match=r"'model\.onnx' in the archive is no file"), unpacked(raw):
        pass


def test_two_bundles_at_once_are_refused() -> None:
    two = archive(("a/model.onnx", b"1"), ("b/model.onnx", b"2"))
    with pytest.raises(BundleError, match=r"two files called 'model\.onnx'"), unpacked(two):
        pass


@pytest.mark.parametrize("cut", [0, 1100, 4000])
def test_what_is_no_whole_archive_is_refused(cut: int) -> None:
    raw = archive(("model.onnx", b"graph" * 1000)).getvalue()[:cut]
    with pytest.raises(BundleError, match="no whole tar archive"), unpacked(io.BytesIO(raw)):
        pass


BOMBS = {
    "model.toml": (2 << 20, "2097152 bytes, the limit is 1048576"),
    "baseline.json": (80 << 20, "83886080 bytes, the limit is 67108864"),
    "model.onnx": ((2 << 30) + 1, "2147483649 bytes, the limit is 2147483648"),
}


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", BOMBS)
def test_a_small_archive_with_a_large_file_is_refused_before_it_is_written(
    name: str, packed: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, sentence = BOMBS[name]
    bomb = tarfile.TarInfo(f"flights-2/{name}")
    bomb.size = size
    raw = packed(bomb.tobuf() + bytes(min(size, 1 << 20)))  # type: ignore[operator]
    assert len(raw) < 64 << 10
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(BundleError, match=sentence), unpacked(io.BytesIO(raw)):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_the_memory_is_refused(kind: bytes) -> None:
    header = tarfile.TarInfo("model.onnx")
    header.type, header.size = kind, 4 << 30
    raw = gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    with (
        pytest.raises(BundleError, match="a header of 4294967296 bytes, the limit is 65536"),
        unpacked(io.BytesIO(raw)),
    ):
        pass


def test_an_archive_of_countless_files_is_refused() -> None:
    many = archive(*((f"file-{number}", b"") for number in range(64)))
    with pytest.raises(BundleError, match="more than 64 members"), unpacked(many):
        pass


WHOLE = archive(("flights-2/model.onnx", b"graph" * 99), ("SHA256SUMS", b"sums"), mode="w:gz").getvalue()


@given(st.binary(max_size=2_000) | st.binary(max_size=600).map(gzip.compress), st.data())
@settings(deadline=None)
def test_whatever_is_piped_is_unpacked_or_refused(raw: bytes, data: st.DataObject) -> None:
    changed = bytearray(gzip.decompress(WHOLE))
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    for piped in (raw, bytes(changed), gzip.compress(changed), gzip.compress(changed)[:-9]):
        try:
            with unpacked(io.BytesIO(piped)) as found:
                assert all(path.parent == found for path in found.rglob("*"))
        except BundleError:
            pass
