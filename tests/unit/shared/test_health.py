from __future__ import annotations

import socket
import time
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter
from pydantic import SecretStr

from shared.errors import ServiceError
from shared.health import HealthServer


async def get(server: HealthServer, path: str, **headers: str) -> tuple[int, str, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}{path}", headers=headers) as response,
    ):
        kind = response.content_type
        body = await (response.json() if kind == "application/json" else response.text())
        return response.status, kind, body


async def test_readiness_lists_every_check_with_its_reason() -> None:
    reasons: dict[str, str | None] = {"models": "flight-delay is still loading", "kafka": None}
    async with HealthServer(CollectorRegistry()) as server:
        server.add_check("models", lambda: reasons["models"])
        server.add_check("kafka", lambda: reasons["kafka"])
        assert await get(server, "/readyz") == (
            503,
            "application/json",
            {
                "status": "not ready",
                "checks": {
                    "models": {"ok": False, "reason": "flight-delay is still loading"},
                    "kafka": {"ok": True, "reason": None},
                },
            },
        )
        reasons["models"] = None
        status, _, body = await get(server, "/readyz")
        assert (status, body["status"]) == (200, "ready")


async def test_a_check_that_raises_fails_and_hides_no_other() -> None:
    def broken() -> str | None:
        raise KeyError("slots")

    async with HealthServer(CollectorRegistry()) as server:
        server.add_check("broken", broken)
        server.add_check("fine", lambda: None)
        status, _, body = await get(server, "/readyz")
    assert status == 503
    assert body["checks"] == {
        "broken": {"ok": False, "reason": "the check itself failed: KeyError: 'slots'"},
        "fine": {"ok": True, "reason": None},
    }


async def test_liveness_follows_the_main_loop() -> None:
    last_turn = time.monotonic()
    async with HealthServer(CollectorRegistry(), last_turn=lambda: last_turn, stall_seconds=30.0) as server:
        status, _, body = await get(server, "/healthz")
        assert (status, body["status"]) == (200, "alive")
        last_turn -= 31.0
        status, _, body = await get(server, "/healthz")
        assert (status, body["status"]) == (503, "stalled")
        assert body["seconds_since_last_turn"] >= 31.0


async def test_metrics_come_in_the_format_asked_for() -> None:
    registry = CollectorRegistry()
    Counter("driftline_x_total", "X", registry=registry).inc(3)
    async with HealthServer(registry) as server:
        status, kind, text = await get(server, "/metrics")
        assert (status, kind) == (200, "text/plain")
        assert "driftline_x_total 3.0\n" in text
        _, kind, text = await get(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert kind == "application/openmetrics-text"
        assert text.endswith("# EOF\n")


async def test_a_port_in_use_is_a_sentence_that_names_the_settings() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ServiceError, match=rf"^http_host, http_port: cannot listen on 127.0.0.1:{port}: "
        ):
            async with HealthServer(CollectorRegistry(), port=port):
                pass


async def test_the_port_is_free_again_afterwards() -> None:
    async with HealthServer(CollectorRegistry()) as server:
        port = server.port
        assert port != 0
    async with HealthServer(CollectorRegistry(), port=port) as again:
        assert again.port == port


async def test_other_paths_and_methods_are_refused() -> None:
    async with HealthServer(CollectorRegistry()) as server, aiohttp.ClientSession() as session:
        for method, path, status in (("GET", "/", 404), ("POST", "/healthz", 405), ("HEAD", "/healthz", 200)):
            async with session.request(method, f"http://127.0.0.1:{server.port}{path}") as response:
                assert response.status == status


async def test_a_page_is_served_as_html_that_loads_nothing_and_runs_nothing() -> None:
    server = HealthServer(CollectorRegistry())
    server.add_page("/", lambda name: f"<p>{name}</p>")
    server.add_page("/about/{name}", lambda name: f"<p>{name}</p>" if name == "lag" else None)
    async with server:
        assert await get(server, "/") == (200, "text/html", "<p></p>")
        assert await get(server, "/about/lag") == (200, "text/html", "<p>lag</p>")
        assert (await get(server, "/about/nobody"))[0] == 404
        assert (await get(server, "/about/..%2Fetc"))[0] == 404
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{server.port}/") as response,
        ):
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("host", "token", "warned"),
    [
        ("0.0.0.0", None, True),
        ("0.0.0.0", SecretStr("planted"), False),
        ("127.0.0.1", None, False),
        ("localhost", None, False),
    ],
)
async def test_a_port_that_everybody_may_read_is_warned_of(
    host: str, token: SecretStr | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with HealthServer(CollectorRegistry(), host=host, token=token):
        pass
    said = [record for record in caplog.records if "set http_token" in record.message]
    assert len(said) == warned
    assert "planted" not in caplog.text
