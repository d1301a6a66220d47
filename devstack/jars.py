"""The jars of Apache Kafka in a cache folder: resolved by Maven, else downloaded, verified either way."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from devstack.errors import DevstackError
from devstack.settings import cache_dir, maven_url

POM = Path(__file__).with_name("pom.xml")
LOCK = Path(__file__).with_name("jars.lock")
# The plugin's version is pinned: which jars it copies must not depend on Maven's age.
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
MAVEN_TIMEOUT_SECONDS = 600
DOWNLOAD_TIMEOUT_SECONDS = 60
DOWNLOAD_ATTEMPTS = 3


def kafka_version() -> str:
    """Return the Kafka version that ``pom.xml`` names."""
    version = ElementTree.parse(POM).findtext(".//{*}kafka.version")
    if not version:
        raise DevstackError(f"{POM} names no kafka.version")
    return version


def read_lock() -> dict[str, str]:
    """Return SHA-256 by Maven path for every locked jar."""
    lines = [line.split() for line in LOCK.read_text().splitlines() if line and not line.startswith("#")]
    return {path: digest for digest, path in lines}


def kafka_jars() -> list[Path]:
    """Return the verified jars of Apache Kafka, fetching them on first use.

    Raises
    ------
    DevstackError
        Neither Maven nor the repository gave them, or a jar is not the locked one.
    """
    folder = cache_dir() / f"kafka-{kafka_version()}"
    lock = read_lock()
    with _one_at_a_time(folder):
        if not _complete(folder, lock):
            _fetch(folder, lock)
    return [folder / path for path in lock]


def lock_jars() -> int:
    """Write ``jars.lock`` from what Maven resolves; return the number of jars."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _resolve_with_maven(folder)
        digests = {str(jar.relative_to(folder)): _sha256(jar) for jar in sorted(folder.rglob("*.jar"))}
    heading = (
        f"# Apache Kafka {kafka_version()}: SHA-256 and Maven path. Made by: python -m devstack lock-jars\n"
    )
    LOCK.write_text(heading + "".join(f"{digest}  {path}\n" for path, digest in digests.items()))
    return len(digests)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def _complete(folder: Path, lock: dict[str, str]) -> bool:
    return all(
        (folder / path).is_file() and _sha256(folder / path) == digest for path, digest in lock.items()
    )


def _fetch(folder: Path, lock: dict[str, str]) -> None:
    """Fill the folder through a scratch folder beside it, so that a half-filled one is never used."""
    scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        try:
            _resolve_with_maven(scratch)
        except DevstackError as maven_error:
            _download(scratch, lock, maven_error)
        _verify(scratch, lock)
        shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _resolve_with_maven(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise DevstackError("Maven (mvn) is not installed")
    options = [f"-DoutputDirectory={folder}", "-Dmdep.useRepositoryLayout=true"]
    command = [maven, "--batch-mode", "--quiet", f"--file={POM}", COPY_DEPENDENCIES, *options]
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MAVEN_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DevstackError(f"Maven ({maven}) did not run: {error}") from error
    if answer.returncode != 0:
        reason = next((line for line in answer.stdout.splitlines() if "ERROR" in line), answer.stderr.strip())
        raise DevstackError(f"Maven ({maven}) could not resolve {POM.name}: {reason}")


def _download(folder: Path, lock: dict[str, str], maven_error: DevstackError) -> None:
    with ThreadPoolExecutor(8) as pool:
        try:
            list(pool.map(lambda path: _download_one(path, folder / path), lock))
        except DevstackError as error:
            pool.shutdown(cancel_futures=True)
            raise DevstackError(
                f"the jars of Apache Kafka {kafka_version()} cannot be had: {maven_error.message}, "
                f"and {error.message}. Install Maven, "
                "or set DRIFTLINE_MAVEN_URL to a Maven repository that this machine reaches"
            ) from error


def _download_one(path: str, target: Path) -> None:
    url = f"{maven_url()}/{path}"
    target.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT_SECONDS) as answer:
                target.write_bytes(answer.read())
        except (OSError, ValueError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it is the answer, too
            if attempt == DOWNLOAD_ATTEMPTS or not _worth_repeating(error):
                raise DevstackError(f"{url} cannot be downloaded ({error})") from error
            time.sleep(attempt)
        else:
            return


def _worth_repeating(error: OSError | ValueError) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code >= 500
    return not isinstance(error, ValueError)  # an address that is none


def _verify(folder: Path, lock: dict[str, str]) -> None:
    found = {str(jar.relative_to(folder)) for jar in folder.rglob("*.jar")}
    if found != lock.keys():
        odd = ", ".join(sorted(found ^ lock.keys()))
        raise DevstackError(
            f"{POM.name} and {LOCK.name} disagree about: {odd}. Run: python -m devstack lock-jars"
        )
    for path, digest in lock.items():
        actual = _sha256(folder / path)
        if actual != digest:
            raise DevstackError(
                f"{path} is not the jar that {LOCK.name} names: SHA-256 {actual}, not {digest}"
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
