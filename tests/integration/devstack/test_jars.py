"""Fetching the jars without Maven, from a small Maven repository on loopback."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from devstack import jars
from devstack.errors import DevstackError

CONTENTS = {"org/one/1.0/one-1.0.jar": b"the first", "org/two/2.0/two-2.0.jar": b"the second"}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with two jars, locked; an empty cache; and no Maven on the PATH."""
    folder = tmp_path / "repository"
    for path, content in CONTENTS.items():
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_bytes(content)
    lock = tmp_path / "jars.lock"
    lock.write_text(
        "# comment\n" + "".join(f"{hashlib.sha256(c).hexdigest()}  {path}\n" for path, c in CONTENTS.items())
    )
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(jars, "LOCK", lock)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("DRIFTLINE_CACHE", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        monkeypatch.setenv("DRIFTLINE_MAVEN_URL", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder
        server.shutdown()
        thread.join()


def cached() -> list[bytes]:
    return [jar.read_bytes() for jar in jars.kafka_jars()]


def test_the_locked_jars_are_downloaded_once(repository: Path) -> None:
    assert cached() == list(CONTENTS.values())
    for path in CONTENTS:
        (repository / path).unlink()
    assert cached() == list(CONTENTS.values())


def test_a_jar_that_is_not_the_locked_one_is_refused(repository: Path) -> None:
    (repository / "org/two/2.0/two-2.0.jar").write_bytes(b"tampered with")
    with pytest.raises(
        DevstackError, match=r"^org/two/2\.0/two-2\.0\.jar is not the jar that jars\.lock names"
    ):
        jars.kafka_jars()
    (repository / "org/two/2.0/two-2.0.jar").write_bytes(b"the second")
    assert cached() == list(CONTENTS.values())


def test_a_damaged_cache_is_fetched_again(repository: Path) -> None:
    jars.kafka_jars()[0].write_bytes(b"half of th")
    assert cached() == list(CONTENTS.values())


def test_a_jar_that_cannot_be_had_is_named_with_the_way_out(repository: Path) -> None:
    (repository / "org/one/1.0/one-1.0.jar").unlink()
    with pytest.raises(DevstackError) as caught:
        jars.kafka_jars()
    message = str(caught.value)
    assert "Maven (mvn) is not installed, and http://127.0.0.1:" in message
    assert "one-1.0.jar cannot be downloaded (HTTP Error 404: File not found)" in message
    assert message.endswith("or set DRIFTLINE_MAVEN_URL to a Maven repository that this machine reaches")


def test_maven_bringing_other_jars_than_the_lock_is_refused(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maven = tmp_path / "empty" / "mvn"
    maven.write_text(
        "#!/bin/sh\n"
        'for option; do case "$option" in -DoutputDirectory=*) out="${option#*=}";; esac; done\n'
        f'/bin/cp -r "{repository}/org" "$out/"; /bin/mv "$out/org/two" "$out/org/three"\n'
    )
    maven.chmod(0o755)
    with pytest.raises(DevstackError) as caught:
        jars.kafka_jars()
    assert str(caught.value) == (
        "pom.xml and jars.lock disagree about: org/three/2.0/two-2.0.jar, org/two/2.0/two-2.0.jar. "
        "Run: python -m devstack lock-jars"
    )


def test_the_checked_in_lock_is_of_the_version_in_the_pom() -> None:
    locked = jars.read_lock()
    version = jars.kafka_version()
    assert f"org/apache/kafka/kafka_2.13/{version}/kafka_2.13-{version}.jar" in locked
    assert all(len(bytes.fromhex(digest)) == 32 for digest in locked.values())
