"""The bundle store, on a directory and on object stores without directories (memory://, s3://)."""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from shared.bundle.read import load_bundle
from shared.errors import BundleError, ConfigError, RegistryError, TransientError
from shared.registry.store import BundleStore
from tests.models import linear, numeric_spec, write_bundle


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 in this process."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["directory", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "directory":
        return str(tmp_path / "store")
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}"
    address = request.getfixturevalue("s3")
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "something",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"s3://{uuid.uuid4().hex}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(bucket)
    return bucket


@pytest.fixture
def memory_url() -> str:
    return f"memory://{uuid.uuid4().hex}"


def digest(path: Path) -> str:
    return hashlib.sha256((path / "SHA256SUMS").read_bytes()).hexdigest()


def put(url: str, path: str, raw: bytes) -> None:
    fs, root = fsspec.core.url_to_fs(url)
    fs.makedirs(f"{root}/{path}".rpartition("/")[0], exist_ok=True)
    fs.pipe_file(f"{root}/{path}", raw)


def test_what_is_uploaded_is_fetched_byte_for_byte(url, tmp_path, make_bundle):
    bundle = make_bundle("1", baseline_json=b"{}")
    store = BundleStore(url, tmp_path / "cache")
    store.upload(load_bundle(bundle))
    fetched = store.fetch("flights", "1", digest(bundle))
    assert {p.name: p.read_bytes() for p in fetched.iterdir()} == {
        p.name: p.read_bytes() for p in bundle.iterdir()
    }


def test_a_local_store_is_read_in_place(tmp_path, make_bundle):
    bundle = make_bundle()
    store = BundleStore(f"file://{tmp_path / 'store'}", tmp_path / "cache")
    store.upload(load_bundle(bundle))
    assert store.fetch("flights", "1", digest(bundle)) == tmp_path / "store" / "flights" / "1"
    assert not (tmp_path / "cache").exists()


def test_files_without_sums_do_not_exist_for_a_reader(url, tmp_path, make_bundle):
    bundle = make_bundle()
    for name in ("model.onnx", "model.toml"):
        put(url, f"flights/1/{name}", (bundle / name).read_bytes())
    store = BundleStore(url, tmp_path / "cache")
    assert store.sums("flights", "1") is None
    with pytest.raises(BundleError, match="holds no whole bundle of version 1 of flights; register it again"):
        store.fetch("flights", "1", digest(bundle))


def test_sums_are_written_after_every_file(url, tmp_path, make_bundle, monkeypatch):
    bundle = make_bundle(baseline_json=b"{}")
    store = BundleStore(url, tmp_path / "cache")
    seen = []
    real = store._put_sums

    def look(raw, model, version):
        seen.append(
            sorted(f.rpartition("/")[2] for f in store._fs.ls(store._path(model, version), detail=False))
        )
        real(raw, model, version)

    monkeypatch.setattr(store, "_put_sums", look)
    store.upload(load_bundle(bundle))
    assert seen == [["baseline.json", "model.onnx", "model.toml"]]


def test_an_upload_that_was_broken_off_is_taken_up_again(url, tmp_path, make_bundle):
    bundle = make_bundle()
    put(url, "flights/1/model.onnx", b"gra")
    put(url, "flights/1/baseline.json", b"of an earlier attempt")
    store = BundleStore(url, tmp_path / "cache")
    store.upload(load_bundle(bundle))
    assert load_bundle(store.fetch("flights", "1", digest(bundle))).digest == digest(bundle)


def test_other_contents_under_a_stored_version_are_refused(url, tmp_path, make_bundle):
    first, second = make_bundle("1"), make_bundle("1", graph=b"another graph")
    store = BundleStore(url, tmp_path / "cache")
    store.upload(load_bundle(first))
    with pytest.raises(RegistryError, match=r"version 1 of flights is in the bundle store .* other contents"):
        store.upload(load_bundle(second))
    assert (store.fetch("flights", "1", digest(first)) / "model.onnx").read_bytes() == b"graph"


def test_the_same_bundle_again_repairs_the_store(url, tmp_path, make_bundle):
    bundle = make_bundle()
    store = BundleStore(url, tmp_path / "cache")
    store.upload(load_bundle(bundle))
    put(url, "flights/1/model.onnx", b"grapf")
    with pytest.raises(BundleError, match=r"model\.onnx is damaged or was changed"):
        store.fetch("flights", "1", digest(bundle))
    store.upload(load_bundle(bundle))
    assert (store.fetch("flights", "1", digest(bundle)) / "model.onnx").read_bytes() == b"graph"


def test_a_damaged_download_leaves_nothing_in_the_cache(memory_url, tmp_path, make_bundle):
    bundle = make_bundle()
    store = BundleStore(memory_url, tmp_path / "cache")
    store.upload(load_bundle(bundle))
    put(memory_url, "flights/1/model.onnx", b"grapf")
    with pytest.raises(BundleError):
        store.fetch("flights", "1", digest(bundle))
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_file_that_is_missing_in_the_store_is_named(memory_url, tmp_path, make_bundle):
    bundle = make_bundle()
    store = BundleStore(memory_url, tmp_path / "cache")
    store.upload(load_bundle(bundle))
    store._fs.rm(store._path("flights", "1", "model.toml"))
    with pytest.raises(
        BundleError, match=r"model\.toml of version 1 of flights is missing in the bundle store"
    ):
        store.fetch("flights", "1", digest(bundle))


def test_a_file_that_is_too_large_is_refused_before_it_is_downloaded(
    memory_url, tmp_path, make_bundle, monkeypatch
):
    bundle = make_bundle("1", baseline_json=b"{}")
    store = BundleStore(memory_url, tmp_path / "cache")
    store.upload(load_bundle(bundle))
    put(memory_url, "flights/1/baseline.json", bytes((64 << 20) + 1))
    monkeypatch.setattr(store._fs, "get_file", None)
    with pytest.raises(BundleError, match=r"baseline\.json of version 1 .* is 67108865 bytes, the limit is"):
        store.fetch("flights", "1", digest(bundle))
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_bundle_than_was_registered_is_refused(url, tmp_path, make_bundle):
    store = BundleStore(url, tmp_path / "cache")
    store.upload(load_bundle(make_bundle()))
    with pytest.raises(BundleError, match="registered"):
        store.fetch("flights", "1", "0" * 64)


def test_a_bundle_stored_under_another_name_is_refused(url, tmp_path, make_bundle):
    bundle = make_bundle("1", name="trains")
    for file in bundle.iterdir():
        put(url, f"flights/1/{file.name}", file.read_bytes())
    with pytest.raises(BundleError, match="is trains 1, not flights 1"):
        BundleStore(url, tmp_path / "cache").fetch("flights", "1", digest(bundle))


def test_a_download_is_kept_and_used_again_without_the_store(memory_url, tmp_path, make_bundle):
    bundle = make_bundle()
    store = BundleStore(memory_url, tmp_path / "cache")
    store.upload(load_bundle(bundle))
    first = store.fetch("flights", "1", digest(bundle))
    store._fs.rm(store._path("flights", "1"), recursive=True)
    assert store.fetch("flights", "1", digest(bundle)) == first == tmp_path / "cache" / digest(bundle)


def test_a_copy_in_the_cache_that_went_bad_is_downloaded_again(memory_url, tmp_path, make_bundle):
    bundle = make_bundle()
    store = BundleStore(memory_url, tmp_path / "cache")
    store.upload(load_bundle(bundle))
    cached = store.fetch("flights", "1", digest(bundle))
    (cached / "model.onnx").write_bytes(b"bad")
    assert (store.fetch("flights", "1", digest(bundle)) / "model.onnx").read_bytes() == b"graph"
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [digest(bundle)]


def test_fetching_at_once_ends_with_one_whole_copy(tmp_path, make_bundle):
    bundle = make_bundle(graph=b"g" * 2_000_000)
    BundleStore(str(tmp_path / "store"), tmp_path / "cache").upload(load_bundle(bundle))
    gate, found = threading.Barrier(8), []

    def fetch() -> None:
        store = BundleStore(str(tmp_path / "store"), tmp_path / "cache")
        store._is_local = False  # memory:// mixes up readers of one file, so a directory plays the remote
        gate.wait()
        found.append(load_bundle(store.fetch("flights", "1", digest(bundle))).digest)

    threads = [threading.Thread(target=fetch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [digest(bundle)] * 8
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [digest(bundle)]


def test_what_a_killed_download_left_is_removed_after_an_hour(memory_url, tmp_path, make_bundle):
    bundle, cache = make_bundle(), tmp_path / "cache"
    old, young = cache / ".partial-old", cache / ".partial-young"
    old.mkdir(parents=True)
    young.mkdir()
    os.utime(old, (time.time() - 3601, time.time() - 3601))
    store = BundleStore(memory_url, cache)
    store.upload(load_bundle(bundle))
    store.fetch("flights", "1", digest(bundle))
    assert sorted(p.name for p in cache.iterdir()) == sorted([".partial-young", digest(bundle)])


def test_a_store_that_fails_is_a_transient_error_without_its_secret(memory_url, tmp_path, monkeypatch):
    store = BundleStore(memory_url, tmp_path / "cache")
    store.address = "memory://user:***@bucket"

    def fail(path: str) -> bytes:
        raise PermissionError("throttled")

    monkeypatch.setattr(store._fs, "cat_file", fail)
    with pytest.raises(
        TransientError, match=r"reading the bundle store memory://user:\*\*\*@bucket failed: throttled"
    ):
        store.sums("flights", "1")


def test_an_unknown_protocol_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match=r"bundle_store 'nosuch://user:\*\*\*@x' cannot be used"):
        BundleStore("nosuch://user:secret@x", tmp_path)


def test_a_cache_that_cannot_be_written_is_trouble_that_may_pass(memory_url: str, tmp_path: Path) -> None:
    """A service that answered well ended once when a promotion met a full disk."""
    bundle = write_bundle(tmp_path / "bundle", linear(3), numeric_spec(3, name="demo", version="1"))
    cache = tmp_path / "cache"
    cache.write_text("in the way")
    store = BundleStore(memory_url, cache)
    store.upload(bundle)
    with pytest.raises(TransientError, match=r"version 1 of demo cannot be fetched: .*cache"):
        store.fetch("demo", "1", bundle.digest)
    cache.unlink()
    assert store.fetch("demo", "1", bundle.digest).parent == cache
