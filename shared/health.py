"""The HTTP side of every service: ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from pydantic import SecretStr

from shared.errors import ServiceError
from shared.http_guard import QUIET, Guard
from shared.logs import get_logger

log = get_logger(__name__)

Page = Callable[[str], str | None]
"""Returns HTML for what the path names, ``None`` where there is nothing."""

Check = Callable[[], str | None]
"""Returns ``None`` while all is well, else the reason as a sentence for a person; must not block."""

_KEEPALIVE_SECONDS: Final = 30.0
_SHUTDOWN_SECONDS: Final = 1.0
_LONGEST_REQUEST: Final = 16 * 1024
_OPEN: Final = frozenset({"/healthz", "/readyz"})
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class HealthServer:
    """Serves the state of this process over HTTP, as an async context manager.

    - ``/healthz``: 200 while the main loop has come round within ``stall_seconds``, else 503, which
      asks for a restart. A blocked event loop does not answer at all: the prober's timeout sees that.
    - ``/readyz``: 200 while every check passes, else 503; the JSON says which fails and why.
    - ``/metrics``: the registry, in the Prometheus or OpenMetrics text format.

    Parameters
    ----------
    registry
        What ``/metrics`` shows.
    host, port
        Where to listen; port 0 takes a free one, see :attr:`port`.
    last_turn
        Returns when the main loop last came round, by ``time.monotonic``.
    stall_seconds
        How old that may be.
    token
        What ``/metrics`` and pages ask for (:mod:`shared.http_guard`); probes are never asked.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        last_turn: Callable[[], float] | None = None,
        stall_seconds: float = 60.0,
        token: SecretStr | None = None,
    ) -> None:
        self._registry = registry
        self._token = token
        self._guard = Guard(token, _OPEN)
        self._address = (host, port)
        self._last_turn = last_turn
        self._stall_seconds = stall_seconds
        self._checks: dict[str, Check] = {}
        self._pages: dict[str, Page] = {}
        self._runner: web.AppRunner | None = None
        self.port = port
        """The port in use, once started."""

    def add_check(self, name: str, check: Check) -> None:
        """Make readiness depend on ``check``."""
        self._checks[name] = check

    def add_page(self, path: str, page: Page) -> None:
        """Serve HTML at ``path``, from the start on; what stands for a ``{name}`` in it is handed over."""
        self._pages[path] = page

    def failing(self) -> dict[str, str]:
        """Return why the process is not ready, by name of the check; empty when it is."""
        reasons = {name: _reason(check) for name, check in self._checks.items()}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_LONGEST_REQUEST, middlewares=[self._guard.middleware])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._metrics)
        for path, page in self._pages.items():
            app.router.add_get(path, _handler(page))
        runner = web.AppRunner(
            app,
            access_log=None,  # probes every few seconds say nothing
            logger=QUIET,
            handle_signals=False,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await runner.setup()
        host, port = self._address
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            raise ServiceError(f"http_host, http_port: cannot listen on {host}:{port}: {error}") from error
        self._runner = runner
        assert runner.server is not None
        self._guard.watch(runner.server)
        self.port = runner.addresses[0][1]
        log.info("http server listens", host=host, port=self.port)
        if self._token is None and not _is_loopback(host):
            log.warning(
                "anyone who reaches this port reads metrics and pages: set http_token, or http_host to a "
                "loopback address",
                host=host,
                port=self.port,
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._guard.close()
            await self._runner.cleanup()
            self._runner = None

    async def _healthz(self, _request: web.Request) -> web.Response:
        age = 0.0 if self._last_turn is None else time.monotonic() - self._last_turn()
        alive = age <= self._stall_seconds
        body = {"status": "alive" if alive else "stalled", "seconds_since_last_turn": round(age, 3)}
        return _json(body, ok=alive)

    async def _readyz(self, _request: web.Request) -> web.Response:
        reasons = {name: _reason(check) for name, check in self._checks.items()}
        ready = all(reason is None for reason in reasons.values())
        checks = {name: {"ok": reason is None, "reason": reason} for name, reason in reasons.items()}
        return _json({"status": "ready" if ready else "not ready", "checks": checks}, ok=ready)

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})


def _is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address; a name that is no address may be anybody's.

    Examples
    --------
    >>> _is_loopback("127.0.0.1"), _is_loopback("::1"), _is_loopback("localhost"), _is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _handler(page: Page) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        html = page(request.match_info.get("name", ""))
        if html is None:
            raise web.HTTPNotFound
        return web.Response(text=html, content_type="text/html", headers=_PAGE_HEADERS)

    return handle


def _reason(check: Check) -> str | None:
    """Return why a check fails; one that raises fails too, and must not hide the others."""
    try:
        return check()
    except Exception as error:
        return f"the check itself failed: {type(error).__name__}: {error}"


def _json(body: object, *, ok: bool) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=200 if ok else 503, content_type="application/json")
