"""A bundle that comes through a pipe."""

from __future__ import annotations

import io
import tarfile

import pytest

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
