from __future__ import annotations

import pytest

from shared.address import masked
from shared.errors import ConfigError
from shared.registry import RedisRegistry


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://:hunter2@redis:6379/0", "redis://:***@redis:6379/0"),
        ("rediss://ops:p%40ss@redis/1", "rediss://ops:***@redis/1"),
        ("rediss://ops:p@s/s:w?rd@redis/1", "rediss://ops:***@redis/1"),
        ("s3://key:secret@bucket/bundles", "s3://key:***@bucket/bundles"),
        (
            "redis://redis/0?ssl_keyfile_password=hunter2&db=1",
            "redis://redis/0?ssl_keyfile_password=***&db=1",
        ),
        ("redis://ops@redis:6379", "redis://ops@redis:6379"),
        ("/var/lib/driftline/bundles", "/var/lib/driftline/bundles"),
    ],
)
def test_masked(url, expected):
    assert masked(url) == expected


@pytest.mark.parametrize("url", ["redis://:hun/ter2@redis:6379", "http://:hunter2@redis", "hunter2"])
def test_a_url_that_is_none_is_refused_without_its_password(url, tmp_path):
    with pytest.raises(ConfigError, match=r"redis_url .* is no Redis URL") as caught:
        RedisRegistry(url, str(tmp_path), tmp_path)
    assert url == "hunter2" or "ter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
