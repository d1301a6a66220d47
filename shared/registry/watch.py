"""Watching a registry: pub/sub for speed, a periodic poll for what pub/sub loses."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final, Self

from shared.errors import ServiceError, TransientError
from shared.logs import get_logger
from shared.registry.ledger import Ledger
from shared.registry.records import Change, Pointers

log = get_logger(__name__)

_FIRST_BACKOFF: Final = 0.1
_LAST_BACKOFF: Final = 5.0


class Watch:
    """Endless asynchronous iterator over changes; see :meth:`RegistryReader.watch`.

    1. Subscribe, and wait until Redis has confirmed it: from here on no change goes unnoticed.
    2. Read the pointers and yield what differs from what was yielded before.
    3. Wait for a message about one of the models, or for the poll interval, and go to 2.

    A message only says "look": what is yielded always comes from the pointers themselves. When
    Redis does not answer, it begins again at 1 after a pause that doubles up to five seconds.
    """

    def __init__(self, ledger: Ledger, models: Collection[str] | None, poll_interval: float) -> None:
        self._ledger = ledger
        self._models = None if models is None else tuple(models)
        self._poll_interval = poll_interval
        self._seen: dict[str, Pointers] = {}
        self._lost: set[str] = set()
        self._pending: deque[Change] = deque()
        self._pubsub: Any = None
        self._failures = 0
        self._over = asyncio.Event()
        self._turn = asyncio.Lock()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        async with self._turn:
            while not self._pending:
                if not await self._unless_over():
                    raise StopAsyncIteration
            return self._pending.popleft()

    async def _unless_over(self) -> bool:
        """Look once; return False if the registry was closed meanwhile."""
        looking, over = asyncio.ensure_future(self._look()), asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({looking, over}, return_when=asyncio.FIRST_COMPLETED)
            if not self._over.is_set():
                looking.result()
            return not self._over.is_set()
        finally:
            for task in (looking, over):
                task.cancel()
            await asyncio.wait({looking, over})

    async def _look(self) -> None:
        try:
            if self._pubsub is None:
                await self._subscribe()
            else:
                await self._wait()
            await self._poll()
        except ServiceError as error:
            await self._pause(error)

    async def aclose(self) -> None:
        """Give up the subscription; the iterator may still be used and subscribes again."""
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with suppress(ServiceError), self._ledger.calling(answered=False):
                await pubsub.aclose()

    async def end(self) -> None:
        """End the iteration for good: the registry is being closed under it.

        Whoever is iterating lets go first. A subscription that is closed while somebody reads from it
        connects again by itself, and swallows the cancellation of its reader on the way.
        """
        self._over.set()
        async with self._turn:
            await self.aclose()

    async def _subscribe(self) -> None:
        self._pubsub = self._ledger.subscription()
        with self._ledger.calling(answered=False):
            await self._pubsub.subscribe(self._ledger.channel)
            confirmed = await self._pubsub.get_message(timeout=5.0)
        if confirmed is None:
            raise TransientError(f"Redis at {self._ledger.address} does not confirm the subscription")

    async def _wait(self) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._poll_interval
        while (left := deadline - clock()) > 0:
            with self._ledger.calling(answered=False):
                message = await self._pubsub.get_message(timeout=left)
            if message is not None and self._concerns(message):
                return

    def _concerns(self, message: dict[str, Any]) -> bool:
        """Whether to look now: one of the models changed, or the subscription was renewed."""
        return message["type"] != "message" or self._models is None or message["data"] in self._models

    async def _poll(self) -> None:
        models = await self._ledger.models() if self._models is None else self._models
        # A model that was seen and is not listed any more is asked about too: it may have been lost.
        asked = tuple(dict.fromkeys((*models, *self._seen)))
        for now in await self._ledger.pointers(asked):
            self._compare(now)
        if self._failures:
            log.warning("the registry answers again")
        self._failures = 0

    def _compare(self, now: Pointers) -> None:
        before = self._seen.get(now.model)
        if now.revision == 0:
            if before is not None and now.model not in self._lost:
                self._lost.add(now.model)
                log.warning(
                    "the registry has lost a model, its champion stays",
                    model=now.model,
                    model_version=before.champion,
                    revision=before.revision,
                )
            return
        self._lost.discard(now.model)
        if now != before:
            self._seen[now.model] = now
            self._pending.append(Change(now.model, before, now))

    async def _pause(self, error: ServiceError) -> None:
        if self._failures == 0:
            log.warning("the registry is away, everything stays as it is", error=str(error))
        await self.aclose()
        longest = min(_LAST_BACKOFF, _FIRST_BACKOFF * 2 ** min(self._failures, 10))
        self._failures += 1
        # Half of it at random, so that a fleet does not come back in step.
        await asyncio.sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311
