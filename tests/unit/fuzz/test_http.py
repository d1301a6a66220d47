"""Bytes from anybody at a service's port, and from any receiver in answer to a webhook."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

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
RIGHT = b"Authorization: Bearer " + TOKEN.encode()
HEADERS = [
    b"Host: y",
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


@dataclass(frozen=True)
class Asked:
    """A request.

    Attributes
    ----------
    allowed
        Whether it has the token.
    whole
        Whether it has a first line and an end: somebody must answer it, if only that it is wrong.
    """

    raw: bytes
    allowed: bool
    whole: bool


def asked(first: bytes, allowed: bool, headers: list[bytes], body: bytes) -> Asked:
    """Put a request together; without a host none comes as far as a handler."""
    lines = [first, b"Host: x", *([RIGHT] if allowed else []), *headers, b"", body]
    return Asked(b"\r\n".join(lines), allowed, first in LINES and set(headers) <= set(HEADERS))


request = st.builds(
    asked,
    st.sampled_from(LINES) | st.binary(max_size=60),
    st.booleans(),
    st.lists(st.sampled_from(HEADERS) | st.binary(max_size=40), max_size=3),
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


async def ask(port: int, raw: bytes, seconds: float) -> bytes:
    """Send bytes and return what comes: all of it, or what has come when the time is over."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = b""
    try:
        writer.write(raw)
        async with asyncio.timeout(seconds):
            while b"\r\n\r\n" not in said and (more := await reader.read(1 << 20)):
                said += more
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
    return said


@asynccontextmanager
async def serving() -> AsyncIterator[HealthServer]:
    """The pages and the metrics of the alerting service, behind the token."""
    shown = ReportCollector(registry := CollectorRegistry(), clock=lambda: 0)
    server = HealthServer(registry, token=SecretStr(TOKEN))
    server.add_page("/", lambda _: overview(SaidAlerts(), shown, 0))
    server.add_page("/runbooks/{name}", runbook)
    async with server:
        yield server


@given(st.lists(request, min_size=1, max_size=4))
@thorough
def test_whatever_is_asked_nothing_is_given_away_and_the_server_goes_on(requests: list[Asked]) -> None:
    async def check() -> None:
        async with serving() as server:
            for one in requests:
                said = await ask(server.port, one.raw, 30 if one.whole else 0.1)
                status = re.match(rb"HTTP/1\.[01] (\d{3}) ", said)
                assert status is not None or not (one.whole or said), (one, said)
                assert status is None or status[1] != b"500", (one, said)
                assert one.allowed or not status or status[1] != b"200"
                assert b"Traceback" not in said
                assert TOKEN.encode() not in said
            healthy = await ask(server.port, b"GET /healthz HTTP/1.0\r\n\r\n", 30)
            assert b" 200 " in healthy.partition(b"\r\n")[0]

    asyncio.run(check())


async def test_these_requests_do_come_as_far_as_the_handlers() -> None:
    """What the one above stands on: nothing but the token decides whether a page is shown."""
    async with serving() as server:
        for path, shown in ((b"/", b"200"), (b"/metrics", b"200"), (b"/runbooks/nobody", b"404")):
            for allowed in (True, False):
                one = asked(b"GET " + path + b" HTTP/1.1", allowed, [], b"")
                said = await ask(server.port, one.raw, 30)
                assert said.split(b" ", 2)[1] == (shown if allowed else b"401")


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
