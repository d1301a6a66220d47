"""What the build stage removes from an image, and what it leaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devstack.images.inside import compiled, import_all, look, prune, share, whole_seconds

KEPT = (
    "narwhals/expr.py",
    "numpy/__init__.py",
    "numpy/testing/__init__.py",
    "numpy.libs/libopenblas.so.0",
    "botocore/data/endpoints.json",
    "botocore/data/s3/2006-03-01/service-2.json",
    "onnxruntime/capi/state.cpython-311-x86_64-linux-gnu.so",
    "river/drift/adwin.py",
    "scipy/signal_like.py",
    "scipy/special/_ufuncs.so",
    "scipy/stats/numbers.npz",
    "zoneinfo/data.zip",
)
REMOVED = (
    "botocore/data/ec2/2016-11-15/service-2.json",
    "dateutil/zoneinfo/dateutil-zoneinfo.tar.gz",
    "narwhals/_polars/expr.py",
    "numpy/_core/_simd.cpython-311-x86_64-linux-gnu.so",
    "numpy/_core/_umath_tests.cpython-311-x86_64-linux-gnu.so",
    "numpy/_core/include/x.h",
    "numpy/tests/test_a.py",
    "numpy/random/lib/libnpyrandom.a",
    "onnxruntime/capi/libonnxruntime.so.1.22",
    "onnxruntime/transformers/__init__.py",
    "river/datasets/flights.csv.gz",
    "river/tree/hoeffding.py",
    "scipy/stats/_unuran/unuran_wrapper.cpython-311-x86_64-linux-gnu.so",
    "uvloop/loop.pyx",
)


def lay(lib: Path, *names: str) -> None:
    for name in names:
        (lib / name).parent.mkdir(parents=True, exist_ok=True)
        (lib / name).touch()


def left(lib: Path) -> set[str]:
    return {str(path.relative_to(lib)) for path in lib.rglob("*") if path.is_file()}


def test_what_nothing_reads_is_removed(tmp_path: Path) -> None:
    lay(tmp_path, *KEPT, *REMOVED, "scipy/signal/__init__.py")
    prune(tmp_path)
    assert left(tmp_path) == set(KEPT)


def test_scikit_learn_keeps_what_it_needs_of_scipy(tmp_path: Path) -> None:
    lay(tmp_path, "scipy/signal/__init__.py", "sklearn/__init__.py")
    prune(tmp_path)
    assert left(tmp_path) == {"scipy/signal/__init__.py", "sklearn/__init__.py"}


def test_one_copy_is_kept_of_what_two_wheels_bring_along(tmp_path: Path) -> None:
    lay(tmp_path, "numpy.libs/a.so.5", "scipy.libs/a.so.5", "scipy.libs/b.so.5")
    (tmp_path / "numpy.libs/b.so.5").write_bytes(b"another of this name")
    share(tmp_path)
    assert (tmp_path / "scipy.libs/a.so.5").resolve() == (tmp_path / "numpy.libs/a.so.5").resolve()
    assert not (tmp_path / "scipy.libs/a.so.5").readlink().is_absolute()
    assert not (tmp_path / "scipy.libs/b.so.5").is_symlink()


def test_compiled_libraries_are_found_by_any_version(tmp_path: Path) -> None:
    lay(tmp_path, "a/x.cpython-311-x86_64-linux-gnu.so", "a.libs/liby.so.5.0.0", "a/x.sorted.py")
    (tmp_path / "a.libs/liby.so").symlink_to("liby.so.5.0.0")
    assert {path.name for path in compiled(tmp_path)} == {
        "liby.so.5.0.0",
        "x.cpython-311-x86_64-linux-gnu.so",
    }


def test_a_module_that_cannot_be_imported_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path, "spoilt/__init__.py", "spoilt/whole.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("devstack.images.inside.IMPORTED_LATE", ())
    assert import_all("spoilt") == 2
    (tmp_path / "spoilt/broken.py").write_text("import no_such_library\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        look("spoilt")


def test_bytecode_is_still_good_when_a_layer_has_cut_the_times(tmp_path: Path) -> None:
    lay(tmp_path, "a/b.py")
    os.utime(tmp_path / "a/b.py", (1_700_000_000.7, 1_700_000_000.7))
    whole_seconds(tmp_path)
    assert (tmp_path / "a/b.py").stat().st_mtime_ns == 1_700_000_000 * 10**9
