"""A webhook receiver for tests: real HTTP, and as bad as it is told to be."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import web

from shared.alerting.formats import Notification


@dataclass
class Request:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["Idempotency-Key"]

    def notification(self) -> Notification:
        return msgspec.json.decode(self.body, type=Notification)


@dataclass
class WebhookReceiver:
    """Answers 200 unless told otherwise.

    Attributes
    ----------
    answers
        Statuses of the next requests, then 200; ``drop`` closes the connection after having read.
    delay
        Seconds before each answer.
    echo
        Whether it answers with what it was sent, secrets included.
    """

    port: int = 0
    answers: list[int | str] = field(default_factory=list)
    delay: float = 0.0
    echo: bool = False
    requests: list[Request] = field(default_factory=list)
    taken: list[Request] = field(default_factory=list)
    _runner: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        seen = Request(request.path, dict(request.headers), await request.read())
        self.requests.append(seen)
        answer = self.answers.pop(0) if self.answers else 200
        if self.delay:
            await asyncio.sleep(self.delay)
        if answer == "drop":
            self.taken.append(seen)  # it has accepted it, and nobody will know
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        assert isinstance(answer, int)
        if answer < 300:
            self.taken.append(seen)
        text = f"{request.path_qs} {dict(request.headers)}" if self.echo else "as told"
        return web.Response(status=answer, text=text, headers={"Location": "/elsewhere"})

    def alerts(self) -> list[tuple[str, str, str]]:
        """Rule, model or subject, and status of what was taken, in order, repetitions left out."""
        found = [one.notification().alert for one in self.taken]
        return list(dict.fromkeys((a.rule, a.model or a.subject, a.status) for a in found))

    def repeated(self) -> dict[str, int]:
        """Keys that came more than once."""
        return {key: n for key, n in Counter(one.key for one in self.taken).items() if n > 1}
