"""The settings: a grace that does not cover what it is there for is said to be too short."""

from __future__ import annotations

import pytest

from services.performance.config import PerformanceSettings
from shared.settings import load_settings

BROKER = ["--kafka-bootstrap-servers=localhost:9092"]


@pytest.mark.parametrize(
    ("grace", "idle", "session", "named"),
    [(60, 10, 30, ()), (10, 10, 6, ("idle",)), (20, 10, 30, ("session",)), (5, 10, 30, ("idle", "session"))],
)
def test_a_grace_that_is_not_above_idle_and_session_is_named(
    grace: int, idle: int, session: int, named: tuple[str, ...]
) -> None:
    settings = load_settings(
        PerformanceSettings,
        argv=[*BROKER, f"--grace-seconds={grace}", f"--idle-seconds={idle}", f"--session-seconds={session}"],
    )
    why = settings.too_short_a_grace()
    assert (why is not None) == bool(named)
    assert [name for name in ("idle", "session") if f"{name}_seconds is" in (why or "")] == list(named)


def test_the_default_grace_is_long_enough() -> None:
    assert load_settings(PerformanceSettings, argv=BROKER).too_short_a_grace() is None
