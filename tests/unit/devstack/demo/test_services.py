import importlib
import os
from pathlib import Path
from typing import Any

import pytest

from devstack.demo.options import Options
from devstack.demo.services import SERVICES, Blueprint, forget_settings, shared_settings
from devstack.demo.stack import Servers
from shared.settings import ServiceSettings, load_settings


@pytest.mark.parametrize("blueprint", SERVICES, ids=lambda blueprint: blueprint.name)
def test_every_service_starts_with_settings_it_knows(
    blueprint: Blueprint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    forget_settings()
    servers = Servers("Tansu", "127.0.0.1:9092", "redis://127.0.0.1:6379/0", {}, [])
    given = shared_settings(servers, tmp_path) | blueprint.settings(Options(kafka="apache"))
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    config = importlib.import_module(f"{blueprint.module}.config")
    (kind,) = [
        found
        for found in vars(config).values()
        if isinstance(found, type) and issubclass(found, ServiceSettings) and found.service == blueprint.name
    ]
    settings: Any = load_settings(kind, argv=[])
    assert settings.bundle_store == str(tmp_path)
    assert settings.redis_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    if hasattr(settings, "delivery"):
        assert settings.delivery == "exactly-once"
    if hasattr(settings, "models"):
        assert list(settings.models) in (["flights"], [])


def test_the_performance_service_starts_with_settings_it_knows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from services.performance.config import PerformanceSettings

    forget_settings()
    servers = Servers("Tansu", "127.0.0.1:9092", "redis://127.0.0.1:6379/0", {}, [])
    performance = next(service for service in SERVICES if service.name == "performance")
    given = shared_settings(servers, tmp_path) | performance.settings(Options())
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(PerformanceSettings, argv=[])
    assert (settings.delivery, settings.idle_seconds) == ("at-least-once", 3)


def test_the_callers_settings_are_dropped_and_devstacks_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIFTLINE_TOPIC_PREFIX", "prod.")
    monkeypatch.setenv("DRIFTLINE_CACHE", "/somewhere")
    forget_settings()
    assert "DRIFTLINE_TOPIC_PREFIX" not in os.environ
    assert os.environ["DRIFTLINE_CACHE"] == "/somewhere"
