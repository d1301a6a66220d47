"""One attempt to deliver, over real HTTP: signatures, refusals, and where it must not go."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.alerting.formats import body
from shared.alerting.posting import Outcome, Poster, retry_after
from shared.alerting.rules import Receiver
from shared.alerting.signing import SIGNATURE, TIMESTAMP, verify
from shared.alerting.states import Delivery
from shared.messages import Alert
from tests.webhooks import WebhookReceiver

ALERT = Alert(
    alert_id="a1",
    rule="drift",
    severity="warning",
    status="firing",
    summary="dep_delay of flights has drifted <b> & more",
    subject="drift",
    started_at=1_700_000_000_000,
    changed_at=1_700_000_060_000,
    model="flights",
    labels={"model": "flights", "team": "ml-1"},
    links={"runbook": "https://example.org/r?a=1&b=2"},
)
DELIVERY = Delivery("k1", "hook", ALERT, created_at=0)


def receiver(url: str, **fields: Any) -> Receiver:
    return Receiver(name="hook", url=url, **({"allow_http": True, "allow_private": True} | fields))


async def attempt(to: Receiver, **options: Any) -> Outcome:
    async with Poster(to, **options) as poster:
        return await poster.post(DELIVERY)


async def test_it_is_signed_and_the_ten_lines_of_the_documentation_verify_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "s3cret-value")
    monkeypatch.setenv("HOOK_TOKEN", "tok-value")
    async with WebhookReceiver() as server:
        to = receiver(server.url, secret_env="HOOK_SECRET", token_env="HOOK_TOKEN")
        assert (await attempt(to, clock=lambda: 1_000.0)).delivered
        (request,) = server.taken
    assert request.headers["Authorization"] == "Bearer tok-value"
    assert request.headers[TIMESTAMP] == "1000"
    assert request.notification().alert == ALERT
    assert verify(b"s3cret-value", request.headers, request.body, now=1_299)
    assert not verify(b"s3cret-value", request.headers, request.body, now=1_301), "too old"
    assert not verify(b"another", request.headers, request.body, now=1_000)
    assert not verify(b"s3cret-value", request.headers, request.body + b" ", now=1_000)
    moved = request.headers | {TIMESTAMP: "1001"}
    assert not verify(b"s3cret-value", moved, request.body, now=1_001), "the time is signed too"
    assert not verify(b"s3cret-value", {SIGNATURE: "v1=00"}, request.body, now=1_000)
    source = Path("docs/alerting.md").read_text().split("```python\n")[1].split("```")[0]
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    genuine = namespace["genuine"]
    assert genuine(b"s3cret-value", request.headers, request.body, now=1_000)
    assert not genuine(b"s3cret-value", request.headers, request.body + b" ", now=1_000)
    assert not genuine(b"s3cret-value", request.headers, request.body, now=2_000)


@pytest.mark.parametrize(
    ("answer", "again", "error"),
    [
        (500, True, "HTTP 500: as told"),
        (404, True, "HTTP 404"),
        (429, True, "HTTP 429"),
        (400, False, "HTTP 400"),
        (302, False, "HTTP 302: redirects are refused"),
        ("drop", True, "ServerDisconnectedError"),
    ],
)
async def test_what_a_refusal_means(answer: int | str, again: bool, error: str) -> None:
    async with WebhookReceiver(answers=[answer]) as server:
        outcome = await attempt(receiver(server.url))
        assert len(server.requests) == 1, "a redirect must not be followed"
    assert outcome.again is again
    assert outcome.error.startswith(error)


async def test_a_receiver_that_is_slow_or_away_is_tried_again() -> None:
    async with WebhookReceiver(delay=5) as server:
        outcome = await attempt(receiver(server.url, timeout="200ms"))
        assert outcome == Outcome("no answer within 200ms", again=True)
    outcome = await attempt(receiver(server.url))
    assert outcome.again
    assert "Cannot connect to host" in outcome.error


async def test_a_receiver_that_answers_without_end_takes_no_memory() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        except (ConnectionError, asyncio.CancelledError):
            return response

    app = web.Application()
    app.router.add_post("/", endless)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    outcome = await attempt(receiver(f"http://127.0.0.1:{runner.addresses[0][1]}/", timeout="5s"))
    await runner.cleanup()
    assert outcome.error.startswith("HTTP 500: xxx")
    assert len(outcome.error) < 300


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0"),
        *("[::1]", "[::ffff:10.0.0.1]", "[fe80::1]"),
        *("127\u30020\u30020\u30021", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460", "0x7f000001", "localhost"),
    ],
)
async def test_a_private_address_is_refused_unless_allowed(host: str) -> None:
    """However it is spelled: the last ones are resolved, or normalised, to the loopback address."""
    async with WebhookReceiver() as server:
        outcome = await attempt(receiver(f"http://{host}:{server.port}/", allow_private=False))
        assert server.requests == []
    assert not outcome.again
    assert outcome.error.endswith("no public address: allow_private: true permits it")


class Names(AbstractResolver):
    """Answers each question with the next of its addresses: a name that is rebound in between."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[Any]:
        self.asked += 1
        address = self.addresses.pop(0)
        return [
            {
                "hostname": host,
                "host": address,
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": 0,
            }
        ]

    async def close(self) -> None: ...


async def test_a_name_that_leads_to_a_private_address_is_refused() -> None:
    for address in ("127.0.0.1", "192.168.1.1", "169.254.169.254"):
        outcome = await attempt(
            receiver("http://rebound.example:80/", allow_private=False), resolver=Names(address)
        )
        assert not outcome.again
        assert f"rebound.example leads to {address}" in outcome.error


async def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[str] = []

    async def connect(*, addr_infos: list[Any], **_: Any) -> Any:
        connected.extend(info[4][0] for info in addr_infos)
        raise OSError("not in a test")

    monkeypatch.setattr("aiohttp.connector.aiohappyeyeballs.start_connection", connect)
    names = Names("93.184.216.34", "127.0.0.1")
    async with WebhookReceiver() as server:
        to = receiver(f"http://rebound.example:{server.port}/", allow_private=False, timeout="2s")
        async with Poster(to, resolver=names) as poster:
            first = await poster.post(DELIVERY)
            second = await poster.post(DELIVERY)  # rebound meanwhile: resolved, and checked, anew
        assert server.requests == []
    assert names.asked == 2
    assert set(connected) <= {"93.184.216.34"}
    assert first.again
    assert "leads to 127.0.0.1" in second.error


def apprise(url: str, **fields: Any) -> Receiver:
    return Receiver(name="hook", format="apprise", url=url, timeout="60s", **fields)


async def test_apprise_sends_to_a_service_of_its_own() -> None:
    async with WebhookReceiver() as server:
        address = f"json://127.0.0.1:{server.port}/said"
        assert (await attempt(apprise(address, allow_private=True))).delivered
        (request,) = server.taken
        said = json.loads(request.body)
        server.answers[:] = [302]
        moved = await attempt(apprise(address, allow_private=True))
        assert len(server.requests) == 2, "a redirect must not be followed"
    assert request.path == "/said"
    assert said["title"] == "warning: drift"
    assert said["message"] == f"{ALERT.summary}\nhttps://example.org/r?a=1&b=2"
    assert moved.again
    assert moved.error


async def test_apprise_connects_to_no_private_address_unless_allowed() -> None:
    async with WebhookReceiver() as server:
        outcome = await attempt(apprise(f"gotify://localhost:{server.port}/token"))
        assert server.requests == []
    assert not outcome.again
    assert outcome.error.endswith("is no public address: allow_private: true permits it")


@pytest.fixture
async def tls(tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    """An HTTPS server whose certificate nobody knows, and the file with that certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)

    async def ok(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_post("/", ok)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}/", cert_file
    await runner.cleanup()


async def test_certificates_are_verified(tls: tuple[str, Path]) -> None:
    url, certificate = tls
    outcome = await attempt(receiver(url))
    assert "certificate verify failed" in outcome.error.lower()
    assert (await attempt(receiver(url, ca_file=str(certificate)))).delivered


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with WebhookReceiver() as server:
        assert (await attempt(receiver(server.url))).delivered


async def test_a_secret_that_is_not_there_is_named_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    outcome = await attempt(Receiver(name="hook", url_env="NO_SUCH"))
    assert outcome == Outcome("receiver hook: the variable NO_SUCH is empty or not set", again=True)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120.0),
        ("99999", 3_600.0),
        ("Tue, 14 Nov 2023 22:15:20 GMT", 120.0),
        ("Tuesday, 14-Nov-23 22:15:20 GMT", 120.0),
        ("Tue Nov 14 22:15:20 2023", 120.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("Tue, 14 Nov 2029 22:00:00 GMT", 3_600.0),
        ("soon", 0.0),
        ("²", 0.0),
        ("", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_moment(said: str, seconds: float) -> None:
    assert retry_after({"Retry-After": said}, 1_700_000_000.0) == seconds


async def test_the_trace_that_an_alert_began_in_goes_on_at_the_receiver() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    traced = msgspec.structs.replace(DELIVERY, alert=msgspec.structs.replace(ALERT, traceparent=trace))
    async with WebhookReceiver() as server:
        async with Poster(receiver(server.url)) as poster:
            assert (await poster.post(traced)).delivered
            assert (await poster.post(DELIVERY)).delivered
        first, second = server.taken
    assert first.headers["traceparent"] == trace
    assert "traceparent" not in second.headers
    assert json.loads(body("cloudevents", traced, 0)[0])["traceparent"] == trace
    assert "traceparent" not in json.loads(body("cloudevents", DELIVERY, 0)[0])


def test_cloudevents() -> None:
    data, content_type = body("cloudevents", DELIVERY, 0)
    event = json.loads(data)
    assert content_type == "application/cloudevents+json; charset=utf-8"
    assert {key: event[key] for key in ("specversion", "id", "source", "type", "subject", "time")} == {
        "specversion": "1.0",
        "id": "k1",
        "source": "driftline/drift",
        "type": "driftline.alert.firing",
        "subject": "drift",
        "time": "2023-11-14T22:14:20.000Z",
    }
    assert msgspec.convert(event["data"], Alert) == ALERT


def test_alertmanager() -> None:
    now = ALERT.changed_at + 86_400_000
    (alert,) = json.loads(body("alertmanager", DELIVERY, now)[0])
    assert alert["labels"] == {
        "alertname": "drift",
        "severity": "warning",
        "subject": "drift",
        "model": "flights",
        "team": "ml-1",
        "driftline_alert_id": "a1",
    }
    assert alert["startsAt"] == "2023-11-14T22:13:20.000Z"
    assert alert["endsAt"] == "2023-11-15T22:19:20.000Z", "it is posted again before"
    over = Delivery("k2", "hook", msgspec.structs.replace(ALERT, status="resolved"), created_at=0)
    (resolved,) = json.loads(body("alertmanager", over, now)[0])
    assert resolved["endsAt"] == "2023-11-14T22:14:20.000Z"
    assert resolved["labels"] == alert["labels"], "an Alertmanager tells alerts apart by their labels"


def test_slack_takes_no_markup_from_a_summary() -> None:
    text = json.loads(body("slack", DELIVERY, 0)[0])["text"]
    assert text.startswith(":warning: *drift* warning: dep_delay of flights has drifted &lt;b&gt; &amp; more")
    assert "<https://example.org/r?a=1&amp;b=2|what to do>" in text
