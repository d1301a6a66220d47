from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from devstack.ports import Ports
from shared.health import HealthServer
from shared.probe import main, probe


async def ask(path: str, port: int) -> tuple[bool, str]:
    import asyncio

    return await asyncio.to_thread(probe, path, port)


async def test_says_what_the_service_says() -> None:
    trouble: list[str | None] = ["no champion yet"]
    server = HealthServer(CollectorRegistry())
    server.add_check("models", lambda: trouble[0])
    async with server:
        well, text = await ask("readyz", server.port)
        assert not well
        assert "no champion yet" in text
        trouble[0] = None
        assert (await ask("readyz", server.port))[0]
        assert (await ask("healthz", server.port))[0]


def test_nobody_there_is_not_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ports = Ports()
    monkeypatch.setenv("DRIFTLINE_HTTP_PORT", str(ports.reserve()))
    assert main(["readyz"]) == 1
    assert "no answer" in capsys.readouterr().out
    ports.release()


def test_a_wrong_command_line_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics"]) == 2
    assert "healthz|readyz" in capsys.readouterr().err
