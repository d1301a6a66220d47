"""What stands before every request: a token where one is set, and an end to connections that dawdle."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
import time
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import SecretStr

from shared.logs import get_logger

IDLE_SECONDS: Final = 35.0
"""A connection on which no request has begun or been answered for so long is ended."""

MOST_CONNECTIONS: Final = 200
_LOOK_SECONDS: Final = 1.0
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="driftline", Basic realm="driftline"'}

log = get_logger(__name__)

QUIET: Final = logging.getLogger("driftline.http")
"""What aiohttp says of requests that are none: a traceback for each would let strangers fill the log."""
QUIET.setLevel(logging.CRITICAL)


def is_allowed(header: str, token: str) -> bool:
    """Return whether an ``Authorization`` header brings the token: as a bearer's, or as the password.

    Machines send ``Bearer``; a browser asks for a name, which may be anything, and a password.

    Examples
    --------
    >>> is_allowed("Bearer s3cret", "s3cret"), is_allowed("bearer guess", "s3cret"), is_allowed("", "s3cret")
    (True, False, False)
    >>> is_allowed("Basic YW5uOnMzY3JldA==", "s3cret"), is_allowed("Basic ?", "s3cret")
    (True, False)
    """
    scheme, _, given = header.partition(" ")
    raw = given.strip().encode("utf-8", "surrogateescape")
    if scheme.lower() == "basic":
        try:
            raw = base64.b64decode(raw, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(raw, token.encode())


class Guard:
    """Keeps what a stranger can hold: no page without the token, no connection for ever.

    Parameters
    ----------
    token
        Asked for everywhere but at ``open_paths``; None asks nobody.
    open_paths
        What probes ask for.
    """

    def __init__(self, token: SecretStr | None, open_paths: frozenset[str]) -> None:
        self._token = token
        self._open = open_paths
        self._quiet_since: dict[object, float] = {}
        self._busy: set[object] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def middleware(self) -> Middleware:
        """The aiohttp middleware."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._busy.add(request.protocol)
            try:
                return await (handler(request) if self._admits(request) else _refuse())
            except web.HTTPException:
                raise
            except Exception as error:
                log.exception("a page failed", path=request.path)
                raise web.HTTPInternalServerError from error
            finally:
                self._busy.discard(request.protocol)
                self._quiet_since[request.protocol] = time.monotonic()

        return guarded

    def _admits(self, request: web.Request) -> bool:
        if self._token is None or request.path in self._open:
            return True
        return is_allowed(request.headers.get("Authorization", ""), self._token.get_secret_value())

    def watch(self, server: web.Server) -> None:
        """Begin to end connections that dawdle."""
        self._task = asyncio.create_task(self._watch(server))

    async def close(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _watch(self, server: web.Server) -> None:
        while True:
            self.look(server, time.monotonic())
            await asyncio.sleep(_LOOK_SECONDS)

    def look(self, server: web.Server, now: float) -> None:
        """End what has been quiet for too long; where there are too many, whatever has been longest."""
        there = [one for one in server.connections if one.transport is not None]
        self._quiet_since = {one: self._quiet_since.get(one, now) for one in there}
        quiet = sorted((one for one in there if one not in self._busy), key=self._quiet_since.__getitem__)
        for number, one in enumerate(quiet):
            too_many = len(there) - number > MOST_CONNECTIONS
            if (too_many or now - self._quiet_since[one] > IDLE_SECONDS) and one.transport is not None:
                one.transport.abort()


async def _refuse() -> web.Response:
    return web.Response(status=401, text="401: a token is asked for\n", headers=_CHALLENGE)
