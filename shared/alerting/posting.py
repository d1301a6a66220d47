"""One attempt to hand a notification to a receiver, and what its failure means."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver
from yarl import URL

from shared.alerting import apprise_child
from shared.alerting.addresses import FORBIDDEN, ForbiddenAddress, PublicOnly, check_literal
from shared.alerting.apprise_child import Errand
from shared.alerting.durations import milliseconds
from shared.alerting.formats import alertmanager, body, plain_text
from shared.alerting.receivers import Secrets
from shared.alerting.rules import Receiver
from shared.alerting.signing import IDEMPOTENCY, SIGNATURE, TIMESTAMP, sign
from shared.alerting.states import Delivery
from shared.errors import ConfigError, ServiceError
from shared.logs import redact
from shared.messages import Alert
from shared.tracing import TRACEPARENT

_FINAL: Final = frozenset({400, 405, 410, 411, 413, 414, 415, 422, 431})
"""Answers that no repetition changes; others of the 400s may be a receiver that is being set up."""

_MOST_ANSWER: Final = 2_000
LONGEST_WAIT: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt.

    Attributes
    ----------
    error
        Why it failed, for a person; empty where the receiver took it.
    again
        Whether another attempt can help.
    after
        Seconds that the receiver asks us to wait, 0 where it does not say.
    """

    error: str = ""
    again: bool = False
    after: float = 0.0

    @property
    def delivered(self) -> bool:
        """Whether the receiver took it."""
        return not self.error


class Poster:
    """The connection to one receiver, as an async context manager.

    Certificates are verified, redirects are refused, proxies of the environment are not used.

    Parameters
    ----------
    receiver
        From the rules file.
    clock
        Returns seconds since 1970: part of the signature.
    resolver
        Resolves names, for tests.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        clock: Callable[[], float] = time.time,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._receiver = receiver
        self._secrets = Secrets(receiver)
        self._clock = clock
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        receiver = self._receiver
        resolver = self._resolver if receiver.allow_private else PublicOnly(self._resolver)
        connector = aiohttp.TCPConnector(
            resolver=resolver,
            use_dns_cache=False,
            ssl=ssl.create_default_context(cafile=receiver.ca_file),
            limit=2,
            force_close=True,  # a kept connection would outlive the check of its address
        )
        timeout = aiohttp.ClientTimeout(total=milliseconds(receiver.timeout) / 1000)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, delivery: Delivery) -> Outcome:
        """Return what became of one attempt; raises nothing that a receiver can cause."""
        if self._receiver.format == "apprise":
            return await self._outcome(self._notify(delivery))
        content = body(self._receiver.format, delivery, self._now_ms())
        return await self._outcome(self._send(*content, key=delivery.key, trace=delivery.alert.traceparent))

    async def remind(self, alerts: Sequence[Alert]) -> Outcome:
        """Return what became of telling an Alertmanager again of what fires."""
        return await self._outcome(self._send(*alertmanager(alerts, self._now_ms())))

    async def _outcome(self, attempt: Awaitable[Outcome]) -> Outcome:
        try:
            return await attempt
        except ForbiddenAddress as error:
            return Outcome(error.message)
        except ConfigError as error:
            return Outcome("; ".join(error.problems), again=True)
        except TimeoutError:
            return Outcome(f"no answer within {self._receiver.timeout}", again=True)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            forbidden = _cause(error, ForbiddenAddress)
            text = forbidden.message if forbidden else redact(f"{type(error).__name__}: {error}")
            return Outcome(text, again=forbidden is None)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    async def _send(
        self, data: bytes, content_type: str, *, key: str | None = None, trace: str | None = None
    ) -> Outcome:
        assert self._session is not None
        url = URL(
            self._secrets.url()
        )  # spells the host as the connection will: 127\u30020\u30020\u30021 is 127.0.0.1
        if not self._receiver.allow_private:
            check_literal(url.host or "")
        headers = self._headers(key, data) | {"Content-Type": content_type}
        if trace is not None:
            headers[TRACEPARENT] = trace
        async with self._session.post(url, data=data, headers=headers, allow_redirects=False) as answer:
            said = (await answer.content.read(_MOST_ANSWER)).decode("utf-8", "replace").strip()
            if 200 <= answer.status < 300:
                return Outcome()
            again = answer.status >= 400 and answer.status not in _FINAL
            return Outcome(_refusal(answer.status, said), again, retry_after(answer.headers, self._clock()))

    def _headers(self, key: str | None, data: bytes) -> dict[str, str]:
        timestamp = int(self._clock())
        headers = {"User-Agent": "driftline", TIMESTAMP: str(timestamp)}
        if key is not None:
            headers[IDEMPOTENCY] = key
            if (secret := self._secrets.signing_key()) is not None:
                headers[SIGNATURE] = sign(secret, timestamp, key, data)
        if (token := self._secrets.token()) is not None:
            headers["Authorization"] = f"Bearer {token}"
        return headers

    async def _notify(self, delivery: Delivery) -> Outcome:
        errand = Errand(self._secrets.url(), *plain_text(delivery.alert), self._receiver.allow_private)
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", apprise_child.__name__),
            stdin=PIPE, stdout=PIPE, stderr=DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        )  # fmt: skip
        try:
            async with asyncio.timeout(milliseconds(self._receiver.timeout) / 1000):
                problem, _ = await child.communicate(msgspec.json.encode(errand))
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        if child.returncode:
            return Outcome(f"the process that runs Apprise ended with code {child.returncode}", again=True)
        said = problem.decode("utf-8", "replace")
        return Outcome(redact(said), again=FORBIDDEN not in said)


def _refusal(status: int, said: str) -> str:
    if 300 <= status < 400:
        return f"HTTP {status}: redirects are refused, name the address itself"
    return f"HTTP {status}" + (f": {redact(said)[:200]}" if said else "")  # it may repeat what we sent


def retry_after(headers: Mapping[str, str], now: float) -> float:
    """Return the seconds that an answer asks us to wait: it says them, or the moment (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After", "")
    if text.isascii() and text.isdecimal():
        seconds = float(text)
    else:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return 0.0
        seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _cause(error: BaseException, kind: type[ServiceError]) -> ServiceError | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, kind):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None
