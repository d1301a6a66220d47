"""Bytes from anybody at a service's port, and from any receiver in answer to a webhook."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from services.alerting.exposition import ReportCollector
from services.alerting.page import SaidAlerts, overview, runbook
from shared.alerting.posting import Poster
from shared.alerting.rules import Receiver
from shared.alerting.states import Delivery
from shared.health import HealthServer
from shared.messages import Alert

thorough = settings(max_examples=25, deadline=None)
TOKEN = "planted-http-token"

LINES = [
    b"GET / HTTP/1.1",
    b"GET /metrics HTTP/1.1",
    b"GET /runbooks/../../../etc/passwd HTTP/1.1",
    b"GET /runbooks/%2e%2e%2f%00 HTTP/1.1",
    b"GET //x HTTP/1.0",
    b"GET /" + b"a" * 9_000 + b" HTTP/1.1",
    b"POST /metrics HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"GET / HTTP/9.9",
    b"PRI * HTTP/2.0",
    b"\x16\x03\x01",
]
HEADERS = [
    b"Host: x",
    b"Content-Length: -1",
    b"Content-Length: 99999999999",
    b"Transfer-Encoding: chunked",
    b"Authorization: Bearer guess",
    b"Authorization: Basic !!",
    b"Accept: " + b"text/plain;q=" * 500,
    b"X: " + b"y" * 20_000,
    b"Expect: 100-continue",
    b"Connection: upgrade",
]
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 no\r\nRetry-After: 1e999\r\n\r\n",
    b"HTTP/1.1 429 \r\nRetry-After: \xb2\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 302 go\r\nLocation: file:///\r\n\r\n",
    b"HTTP/1.1 400 no\r\nContent-Length: 9\r\nContent-Encoding: gzip\r\n\r\nnot gzip!",
    b"HTTP/1.1 200 OK\r\n" * 50,
    b"HTTP/1.1 999 x\r\n\r\n",
    b"HTTP/0.9",
    b"",
]
request = st.builds(
    lambda first, headers, body: b"\r\n".join([first, *headers, b"", body]),
    st.sampled_from(LINES) | st.binary(max_size=60),
    st.lists(st.sampled_from(HEADERS) | st.binary(max_size=40), max_size=4),
    st.binary(max_size=60),
)
answer = st.sampled_from(ANSWERS) | st.binary(max_size=120)
ALERT = Alert(
    alert_id="a",
    rule="r",
    severity="info",
    status="firing",
    subject="s",
    summary="x",
    started_at=1,
    changed_at=1,
)


async def ask(port: int, raw: bytes, seconds: float = 0.1) -> bytes:
    """Send bytes and return what comes in a moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        return await asyncio.wait_for(reader.read(1 << 20), seconds)
    except (ConnectionError, TimeoutError):
        return b""
    finally:
        writer.close()


@given(st.lists(request, min_size=1, max_size=4))
@thorough
def test_whatever_is_asked_nothing_is_given_away_and_the_server_goes_on(requests: list[bytes]) -> None:
    async def check() -> None:
        shown = ReportCollector(registry := CollectorRegistry(), clock=lambda: 0)
        server = HealthServer(registry, token=SecretStr(TOKEN))
        server.add_page("/", lambda _: overview(SaidAlerts(), shown, 0))
        server.add_page("/runbooks/{name}", runbook)
        async with server:
            for raw in requests:
                said = await ask(server.port, raw)
                assert not said.startswith(b"HTTP/1.1 200")
                assert b"Traceback" not in said
                assert TOKEN.encode() not in said
            healthy = await ask(server.port, b"GET /healthz HTTP/1.0\r\n\r\n", 30)
            assert b" 200 " in healthy.partition(b"\r\n")[0]

    asyncio.run(check())


@given(answer)
@thorough
def test_whatever_a_receiver_answers_becomes_an_outcome(raw: bytes) -> None:
    async def check() -> None:
        async with await asyncio.start_server(_saying(raw), "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            receiver = Receiver(
                name="r", url=f"http://127.0.0.1:{port}/", allow_http=True, allow_private=True, timeout="2s"
            )
            async with Poster(receiver) as poster:
                outcome = await poster.post(Delivery(key="k", receiver="r", alert=ALERT, created_at=0))
        assert outcome.delivered or outcome.error
        assert outcome.delivered <= raw.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2", b"HTTP/0"))

    asyncio.run(check())


def _saying(raw: bytes) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(raw)
        writer.close()

    return say
