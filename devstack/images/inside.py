"""Runs inside images, with Python's own library alone: `slim` in the build, `look` in the result.

    python3 inside.py slim /app services.drift

`slim` removes what nothing reads at run time, and leaves bytecode of what is imported. No import may break
by it: it ends with importing every module of the package that is named, and loading every compiled library
that is left. `import` imports the same on the base that it will run on, whose Python has no bytecode of its
own library yet. `look` does so in the finished image, as production runs it, and says what else could be
done there.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

FOLDERS = frozenset({"tests", "__pycache__", "sample_data"})
"""Folders of these names go, wherever they are."""
ENDINGS = frozenset({".a", ".c", ".cpp", ".h", ".hpp", ".pxd", ".pxi", ".pyi", ".pyx"})
"""For compilers and type checkers."""
DATA = frozenset({".csv", ".gz", ".zip"})
"""Example data sets, and time zones that the system has; only those of ``DATA_OF`` go."""
DATA_OF = ("dateutil", "river")
PARTS = (
    "numpy/distutils",
    "onnxruntime/backend", "onnxruntime/datasets", "onnxruntime/quantization", "onnxruntime/tools",
    "onnxruntime/transformers",
)  # fmt: skip
"""Build tools, and the conversion of models: not for running them."""
SCIPY_PARTS = ("cluster", "datasets", "differentiate", "fftpack", "misc", "odr", "signal")
"""Neither SciPy's other parts nor River import these; scikit-learn does, and keeps them."""
AWS_SERVICES = frozenset({"s3", "signin", "sso", "sso-oidc", "sts"})
"""What bundles are read from, and the ways to be allowed to; botocore describes 400 more, 25 MB of them."""
FRAMES = tuple(
    f"narwhals/_{name}"
    for name in ("arrow", "dask", "duckdb", "ibis", "pandas_like", "polars", "spark_like", "sql")
)
"""What narwhals, which River imports, does with other libraries' data frames; where pandas is, they stay."""
IMPORTED_LATE = (
    "jinja2", "matplotlib.backends.backend_svg", "matplotlib.figure", "onnxruntime", "pyarrow.parquet",
    "s3fs", "skl2onnx", "sklearn.ensemble",
)  # fmt: skip
"""What modules import only when they need it. It has to work, and have bytecode, where it is installed."""
LIBRARIES = (
    "numpy/_core/_simd.*.so", "numpy/_core/*_tests.*.so", "scipy/io/_fast_matrix_market/_fmm_core.*.so",
    "scipy/stats/_unuran/unuran_wrapper.*.so",
)  # fmt: skip
"""For NumPy's tests, files of Matrix Market, and random numbers of a density; imported for nothing else."""
RIVER_PARTS = frozenset({"base", "datasets", "drift", "sketch", "stats", "stream", "utils"})
"""River's detectors and statistics, and what they import; its models go."""
_LIBRARY = re.compile(r"\.so(\.\d+)*$")
SHELLS = ("/bin/sh", "/bin/bash", "/bin/dash", "/usr/bin/sh", "/usr/bin/apt", "/usr/bin/dpkg")


def prune(lib: Path) -> None:
    """Remove what no import needs."""
    parts = [lib / part for part in PARTS]
    if not (lib / "sklearn").is_dir():
        parts += [lib / "scipy" / part for part in SCIPY_PARTS]
    if not (lib / "pandas").is_dir():
        parts += [lib / part for part in FRAMES]
    described = [path for path in (lib / "botocore/data").glob("*") if path.is_dir()]
    parts += [path for path in described if path.name not in AWS_SERVICES]
    parts += [path for path in (lib / "river").glob("*") if path.is_dir() and path.name not in RIVER_PARTS]
    for folder in [*parts, *(path for path in lib.rglob("*") if path.is_dir() and path.name in FOLDERS)]:
        shutil.rmtree(folder, ignore_errors=True)
    files = [path for path in lib.rglob("*") if path.suffix in ENDINGS]
    files += [path for name in DATA_OF for path in (lib / name).rglob("*") if path.suffix in DATA]
    files += lib.glob("onnxruntime/capi/libonnxruntime.so.*")  # a second copy, for programs in C
    files += [path for pattern in LIBRARIES for path in lib.glob(pattern)]
    for path in files:
        path.unlink()


def compiled(lib: Path) -> list[Path]:
    """Return every compiled library."""
    return [path for path in lib.rglob("*.so*") if _LIBRARY.search(path.name) and not path.is_symlink()]


def share(lib: Path) -> None:
    """Keep one copy of what several wheels bring along: NumPy and SciPy have the same Fortran runtime."""
    first: dict[tuple[str, str], Path] = {}
    for path in sorted(path for path in compiled(lib) if path.parent.name.endswith(".libs")):
        with path.open("rb") as file:
            kept = first.setdefault((path.name, hashlib.file_digest(file, "sha256").hexdigest()), path)
        if kept != path:
            path.unlink()
            path.symlink_to(Path("..") / kept.parent.name / kept.name)


def strip(lib: Path) -> None:
    """Remove symbols that only debuggers read: most of uvloop and aiohttp is that.

    The libraries that wheels bring along (``numpy.libs``) are left: ``patchelf`` has moved their parts, and
    ``strip`` would leave them where they cannot be loaded.
    """
    own = [path for path in compiled(lib) if not path.parent.name.endswith(".libs")]
    subprocess.run(["strip", "--strip-unneeded", *own], check=True)


def load(lib: Path) -> None:
    """Load every compiled library, to see that none was spoilt."""
    for path in compiled(lib):
        ctypes.CDLL(str(path), mode=ctypes.RTLD_LOCAL)


def import_all(package: str) -> int:
    """Import a package's every module and what they import late; return how many modules it has."""
    names = [package]
    paths = getattr(importlib.import_module(package), "__path__", ())
    names += [module.name for module in pkgutil.walk_packages(paths, f"{package}.")]
    late = [name for name in IMPORTED_LATE if find_spec(name.partition(".")[0]) is not None]
    for name in names + late:
        importlib.import_module(name)
    return len(names)


def whole_seconds(root: Path) -> None:
    """Cut times to whole seconds: layers keep no more, and bytecode of another time is not used."""
    for path in root.rglob("*.py"):
        second = int(path.stat().st_mtime)
        os.utime(path, (second, second))


def slim(root: Path, package: str) -> None:
    """Slim ``root/lib`` for a package that lies in ``root``."""
    prune(root / "lib")
    share(root / "lib")
    strip(root / "lib")
    whole_seconds(root)
    sys.path[:0] = [str(root), str(root / "lib")]
    import_all(package)
    load(root / "lib")


def look(package: str) -> dict[str, object]:
    """Return what a finished image is like from inside."""
    return {
        "modules": import_all(package),
        "user": os.getuid(),
        "shells": [path for path in SHELLS if os.path.lexists(path)],
        "writable": [path for path in ("/", "/app", "/etc", "/usr", "/var") if _writable(Path(path))],
    }


def _writable(folder: Path) -> bool:
    try:
        (folder / "written").touch()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    if sys.argv[1] == "slim":
        slim(Path(sys.argv[2]), sys.argv[3])
    elif sys.argv[1] == "import":
        import_all(sys.argv[2])
    else:
        print(json.dumps(look(sys.argv[2])))
