"""Bundles at rest: ``{store}/{model}/{version}/`` in a directory or at an fsspec URL.

Upload order: the files, then ``SHA256SUMS``. A bundle without its ``SHA256SUMS`` does not exist for a
reader, and a reader believes no byte that the file does not vouch for, so nobody sees half a bundle.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from shared.address import masked
from shared.bundle.checksums import SUMS_NAME, parse_sums
from shared.bundle.read import Bundle, limit_of, load_bundle
from shared.errors import BundleError, ConfigError, RegistryError, ServiceError, TransientError

_PARTIAL: Final = ".partial-"
_STALE_SECONDS: Final = 3600
_CHUNK: Final = 1 << 20


class BundleStore:
    """Uploads and fetches bundles; every method blocks, so services call it in a thread.

    Parameters
    ----------
    url
        A directory, or a URL of fsspec (``file://``, ``s3://``, ``gs://``, ``memory://``).
    cache_dir
        Where bundles of a remote store are kept by digest. Several processes may share it, and it
        may be emptied at any time.

    Raises
    ------
    ConfigError
        The URL's protocol is unknown, or its package is not installed.
    """

    def __init__(self, url: str, cache_dir: Path) -> None:
        self.address = masked(url)
        self._cache = cache_dir
        try:
            self._fs, root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise ConfigError([f"bundle_store {self.address!r} cannot be used: {error}"]) from error
        self._root = root.rstrip("/")
        self._is_local = isinstance(self._fs, LocalFileSystem)

    def _path(self, model: str, version: str, name: str = "") -> str:
        return "/".join(part for part in (self._root, model, version, name) if part)

    @contextmanager
    def _calling(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (ServiceError, FileNotFoundError):
            raise
        except Exception as error:  # each file system of fsspec raises classes of its own
            raise TransientError(f"{doing} the bundle store {self.address} failed: {error}") from error

    def sums(self, model: str, version: str) -> bytes | None:
        """Return the ``SHA256SUMS`` of a version, or None where no whole bundle is stored."""
        with self._calling("reading"):
            try:
                return bytes(self._fs.cat_file(self._path(model, version, SUMS_NAME)))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def upload(self, bundle: Bundle) -> None:
        """Store a bundle; stored already it is checked, and a missing or damaged file repaired.

        Raises
        ------
        RegistryError
            The version is stored with other contents.
        """
        model, version = bundle.spec.name, bundle.spec.version
        raw = (bundle.path / SUMS_NAME).read_bytes()
        stored = self.sums(model, version)
        if stored is not None and stored != raw:
            raise RegistryError(
                f"version {version} of {model} is in the bundle store {self.address} with other "
                "contents; a version is never rewritten, so give this bundle another version"
            )
        with self._calling("writing"):
            self._fs.makedirs(self._path(model, version), exist_ok=True)
            self._remove_strangers(bundle)
            for name, digest in bundle.files.items():
                path = self._path(model, version, name)
                if self._digest(path) != digest:
                    self._fs.put_file(str(bundle.path / name), path)
            if stored is None:
                self._put_sums(raw, model, version)

    def _digest(self, path: str) -> str | None:
        digest = hashlib.sha256()
        try:
            with self._fs.open(path, "rb") as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
        except FileNotFoundError:
            return None
        return digest.hexdigest()

    def _remove_strangers(self, bundle: Bundle) -> None:
        """Remove what an upload that was broken off left and this bundle does not have."""
        keep = {*bundle.files, SUMS_NAME}
        self._fs.invalidate_cache()
        try:
            present = self._fs.ls(self._path(bundle.spec.name, bundle.spec.version), detail=False)
        except FileNotFoundError:  # an object store has no empty directories
            return
        for path in present:
            if path.rstrip("/").rpartition("/")[2] not in keep:
                self._fs.rm(path, recursive=True)

    def _put_sums(self, raw: bytes, model: str, version: str) -> None:
        path = self._path(model, version, SUMS_NAME)
        if not self._is_local:
            self._fs.pipe_file(path, raw)  # an object appears whole or not at all
            return
        descriptor, partial = tempfile.mkstemp(prefix=_PARTIAL, dir=self._path(model, ""))
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(raw)
            stream.flush()
            os.fsync(stream.fileno())
        Path(partial).chmod(0o644)
        Path(partial).replace(path)

    def fetch(self, model: str, version: str, digest: str) -> Path:
        """Return a local directory with the bundle that has this digest, verified.

        A local store is read in place; the bundle of a remote one is downloaded beside its place in
        the cache and then renamed into it, so that processes that share the cache cannot disturb
        each other.

        Raises
        ------
        BundleError
            The bundle is missing, half uploaded, damaged, or another one than was registered.
        TransientError
            The store does not answer, or the cache cannot be written.
        """
        try:
            return self._fetch(model, version, digest)
        except OSError as error:  # a full disk, a directory of somebody else's
            raise TransientError(f"version {version} of {model} cannot be fetched: {error}") from error

    def _fetch(self, model: str, version: str, digest: str) -> Path:
        if self._is_local:
            directory = Path(self._path(model, version))
            if not (directory / SUMS_NAME).is_file():
                raise _missing(model, version, self.address)
            return _verified(directory, model, version, digest)
        target = self._cache / digest
        if target.is_dir():
            try:
                return _verified(target, model, version, digest)
            except BundleError:
                _discard(target)  # the disk's copy went bad; the store's may be good
        return self._download(target, model, version, digest)

    def _download(self, target: Path, model: str, version: str, digest: str) -> Path:
        raw = self.sums(model, version)
        if raw is None:
            raise _missing(model, version, self.address)
        if hashlib.sha256(raw).hexdigest() != digest:
            raise BundleError(f"version {version} of {model} in {self.address} is not what was registered")
        self._cache.mkdir(parents=True, exist_ok=True)
        _sweep(self._cache)
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=self._cache))
        try:
            (partial / SUMS_NAME).write_bytes(raw)
            names = parse_sums(raw)
            for name in names:
                self._check_size(model, version, name)
            for name in names:
                self._get(model, version, name, partial / name)
            _verified(partial, model, version, digest)
            return self._settle(partial, target, model, version, digest)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _check_size(self, model: str, version: str, name: str) -> None:
        """Refuse what is larger than a bundle's file may be before it is on our disk."""
        try:
            with self._calling("reading"):
                size = self._fs.size(self._path(model, version, name))
        except FileNotFoundError as error:
            raise self._gone(name, model, version) from error
        if size is not None and size > limit_of(name):
            raise BundleError(
                f"{name} of version {version} of {model} in the bundle store {self.address} is {size} bytes, "
                f"the limit is {limit_of(name)}"
            )

    def _get(self, model: str, version: str, name: str, target: Path) -> None:
        try:
            with self._calling("reading"):
                self._fs.get_file(self._path(model, version, name), str(target))
        except FileNotFoundError as error:
            raise self._gone(name, model, version) from error

    def _gone(self, name: str, model: str, version: str) -> BundleError:
        return BundleError(
            f"{name} of version {version} of {model} is missing in the bundle store {self.address}"
        )

    def _settle(self, partial: Path, target: Path, model: str, version: str, digest: str) -> Path:
        partial.chmod(0o755)
        try:
            partial.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            return _verified(target, model, version, digest)  # another process was first
        return target


def _missing(model: str, version: str, address: str) -> BundleError:
    return BundleError(
        f"the bundle store {address} holds no whole bundle of version {version} of {model}; "
        "register it again from its directory"
    )


def _verified(path: Path, model: str, version: str, digest: str) -> Path:
    bundle = load_bundle(path)
    if bundle.digest != digest:
        raise BundleError(
            f"{path} has the digest {bundle.digest[:12]}..., version {version} of {model} was "
            f"registered with {digest[:12]}..."
        )
    if (bundle.spec.name, bundle.spec.version) != (model, version):
        raise BundleError(f"{path} is {bundle.spec.name} {bundle.spec.version}, not {model} {version}")
    return path


def _discard(directory: Path) -> None:
    """Remove a directory of the cache at one blow, whoever else looks at it."""
    aside = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=directory.parent))
    try:
        directory.rename(aside / directory.name)
    except FileNotFoundError:
        pass  # another process was first
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _sweep(cache: Path) -> None:
    """Remove what downloads of killed processes left."""
    limit = time.time() - _STALE_SECONDS
    for entry in cache.glob(_PARTIAL + "*"):
        try:
            stale = entry.stat().st_mtime < limit
        except FileNotFoundError:
            continue  # another process was first
        if stale:
            shutil.rmtree(entry, ignore_errors=True)
