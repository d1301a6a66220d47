"""The registry over Redis and a bundle store: who may change what, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Self

import msgspec

from shared.bundle.read import load_bundle
from shared.errors import BundleError, RegistryError
from shared.registry.ledger import CANARY, Ledger, candidate_field, candidate_value
from shared.registry.order import Decide, Order, Proposal, carry_out, now_ms
from shared.registry.protocol import predecessor
from shared.registry.records import Action, CanaryShare, HistoryEntry, Pointers, VersionInfo
from shared.registry.store import BundleStore
from shared.registry.watch import Watch


class RedisRegistry:
    """A :class:`~shared.registry.protocol.Registry`, with pointers in Redis.

    Parameters
    ----------
    redis_url
        ``redis://``, ``rediss://`` or ``unix://``; password and TLS options pass through.
    store_url
        Directory or fsspec URL of the bundles.
    cache_dir
        Where bundles of a remote store are kept; may be shared and may be emptied.
    prefix
        Put in front of every Redis key, so that installations may share a Redis.
    poll_interval
        Seconds after which a watcher looks even though it was told nothing.
    on_available
        Called with True or False whenever Redis begins or ceases to answer.

    Raises
    ------
    ConfigError
        A URL cannot be used. Nothing connects before the first call.
    """

    def __init__(
        self,
        redis_url: str,
        store_url: str,
        cache_dir: Path,
        prefix: str = "driftline:",
        *,
        poll_interval: float = 5.0,
        on_available: Callable[[bool], None] = lambda available: None,
    ) -> None:
        self._ledger = Ledger(redis_url, prefix, on_available)
        self._store = BundleStore(store_url, cache_dir)
        self._poll_interval = poll_interval
        self._watches: list[Watch] = []

    @property
    def available(self) -> bool:
        """Whether Redis answered when it was last asked."""
        return self._ledger.available

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for watch in self._watches:
            await watch.end()
        await self._ledger.aclose()

    async def models(self) -> tuple[str, ...]:
        """Return the names of all models, sorted."""
        return await self._ledger.models()

    async def versions(self, model: str) -> tuple[VersionInfo, ...]:
        """Return the registered versions of a model, oldest first."""
        return await self._ledger.versions(model)

    async def pointers(self, model: str) -> Pointers:
        """Return champion and candidates; revision 0 where the model is unknown."""
        return (await self._ledger.pointers([model]))[0]

    async def history(self, model: str, limit: int | None = None) -> tuple[HistoryEntry, ...]:
        """Return the changes of a model, newest first, at most ``limit``."""
        return await self._ledger.history(model, limit=limit)

    def watch(self, models: Collection[str] | None = None) -> Watch:
        """Iterate over changes for ever, beginning with the present state of each known model."""
        watch = Watch(self._ledger, models, self._poll_interval)
        self._watches.append(watch)
        return watch

    async def fetch(self, model: str, version: str) -> Path:
        """Return the local directory of a version's bundle, every byte of it verified."""
        info = await self._registered(model, version)
        return await asyncio.to_thread(self._store.fetch, model, version, info.digest)

    async def register(
        self, bundle_path: Path, *, who: str, why: str, request_id: str | None = None
    ) -> VersionInfo:
        """Upload a bundle and record it; the champion stays as it is."""
        bundle = await asyncio.to_thread(load_bundle, bundle_path)
        info = VersionInfo(
            model=bundle.spec.name,
            version=bundle.spec.version,
            digest=bundle.digest,
            task=bundle.spec.task,
            features=len(bundle.spec.features),
            size=bundle.size,
            registered_at=now_ms(),
            who=who,
            why=why,
        )
        if await self._ledger.reserve(info.model, info.version, info.digest) != info.digest:
            raise RegistryError(
                f"another bundle is just being registered as version {info.version} of {info.model}; "
                "a version is never rewritten, so give this bundle another version"
            )
        try:
            known = await self._same(info)
            await asyncio.to_thread(self._store.upload, bundle)
        finally:
            await self._ledger.release(info.model, info.version)
        if known is not None:
            return known
        order = Order(info.model, "register", who, why, request_id, to_version=info.version)
        await carry_out(self._ledger, order, self._deciding_register(info))
        return await self._registered(info.model, info.version)

    async def promote(
        self,
        model: str,
        version: str,
        *,
        who: str,
        why: str,
        request_id: str | None = None,
        expect_revision: int | None = None,
        keep_former: bool = False,
    ) -> HistoryEntry:
        """Make a version champion, and its predecessor a candidate where ``keep_former`` says so."""

        async def decide(now: Pointers) -> Proposal | HistoryEntry:
            if now.champion == version:
                return await self._made(now)
            await self._usable(model, version)
            return _crown("promote", now, version, keep_former=keep_former)

        order = Order(model, "promote", who, why, request_id, expect_revision, version, guards_champion=True)
        return await carry_out(self._ledger, order, decide)

    async def rollback(
        self,
        model: str,
        *,
        who: str,
        why: str,
        request_id: str | None = None,
        expect_revision: int | None = None,
    ) -> HistoryEntry:
        """Make the champion's predecessor champion again; repeated, it goes back further."""

        async def decide(now: Pointers) -> Proposal:
            version = predecessor((await self._ledger.history(model))[::-1])
            if version is None:
                raise RegistryError(f"{model} has no earlier champion to go back to")
            await self._usable(model, version)
            return _crown("rollback", now, version)

        order = Order(model, "rollback", who, why, request_id, expect_revision, guards_champion=True)
        return await carry_out(self._ledger, order, decide)

    async def set_candidate(
        self,
        model: str,
        version: str,
        *,
        who: str,
        why: str,
        request_id: str | None = None,
        expect_revision: int | None = None,
    ) -> HistoryEntry:
        """Add a version to the candidates."""

        async def decide(now: Pointers) -> Proposal:
            if now.champion == version:
                raise RegistryError(f"version {version} of {model} is the champion and no candidate")
            if version in now.candidates:
                raise RegistryError(f"version {version} of {model} is a candidate already")
            await self._usable(model, version)
            fields = {candidate_field(version): candidate_value(now.revision + 1)}
            return Proposal("set-candidate", None, version, fields)

        order = Order(model, "set-candidate", who, why, request_id, expect_revision, version)
        return await carry_out(self._ledger, order, decide)

    async def remove_candidate(
        self,
        model: str,
        version: str,
        *,
        who: str,
        why: str,
        request_id: str | None = None,
        expect_revision: int | None = None,
    ) -> HistoryEntry:
        """Take a version out of the candidates."""

        async def decide(now: Pointers) -> Proposal:
            if version not in now.candidates:
                raise RegistryError(f"version {version} of {model} is no candidate")
            fields = [candidate_field(version)]
            if now.canary is not None and now.canary.version == version:
                fields.append(CANARY)
            return Proposal("remove-candidate", version, None, remove=tuple(fields))

        order = Order(model, "remove-candidate", who, why, request_id, expect_revision, from_version=version)
        return await carry_out(self._ledger, order, decide)

    async def set_canary(
        self,
        model: str,
        version: str,
        *,
        percent: float,
        who: str,
        why: str,
        request_id: str | None = None,
        expect_revision: int | None = None,
    ) -> HistoryEntry:
        """Let a candidate answer a share of the traffic."""
        if not 0 < percent <= 100:
            raise RegistryError(
                f"a canary answers more than 0 and at most 100 % of the traffic, not {percent:g}"
            )

        async def decide(now: Pointers) -> Proposal:
            if version not in now.candidates:
                raise RegistryError(
                    f"version {version} of {model} is no candidate; only what runs in the shadow may answer"
                )
            await self._usable(model, version)
            share = CanaryShare(version, float(percent), now.revision + 1)
            fields = {CANARY: msgspec.json.encode(share).decode()}
            former = None if now.canary is None else now.canary.version
            return Proposal("set-canary", former, version, fields, percent=float(percent))

        order = Order(
            model,
            "set-canary",
            who,
            why,
            request_id,
            expect_revision,
            version,
            guards_champion=True,
            percent=float(percent),
        )
        return await carry_out(self._ledger, order, decide)

    async def remove_canary(
        self,
        model: str,
        *,
        who: str,
        why: str,
        request_id: str | None = None,
        expect_revision: int | None = None,
    ) -> HistoryEntry:
        """Give all of the traffic back to the champion; the version stays a candidate."""

        async def decide(now: Pointers) -> Proposal:
            if now.canary is None:
                raise RegistryError(f"{model} has no canary")
            return Proposal("remove-canary", now.canary.version, None, remove=(CANARY,))

        order = Order(model, "remove-canary", who, why, request_id, expect_revision)
        return await carry_out(self._ledger, order, decide)

    def _deciding_register(self, info: VersionInfo) -> Decide:
        async def decide(now: Pointers) -> Proposal | HistoryEntry:
            if await self._same(info) is not None and now.last is not None:
                return now.last  # registered by somebody else since
            return Proposal("register", None, info.version, version=info)

        return decide

    async def _registered(self, model: str, version: str) -> VersionInfo:
        info = await self._ledger.version(model, version)
        if info is None:
            known = ", ".join(known.version for known in await self._ledger.versions(model))
            raise RegistryError(
                f"version {version} of {model} is not registered"
                + (f"; registered are {known}" if known else "; the registry does not know the model")
            )
        return info

    async def _same(self, info: VersionInfo) -> VersionInfo | None:
        """Return the version as it was registered before, or None.

        Raises
        ------
        RegistryError
            It was registered with other contents.
        """
        known = await self._ledger.version(info.model, info.version)
        if known is not None and known.digest != info.digest:
            raise RegistryError(
                f"version {info.version} of {info.model} was registered by {known.who} with other contents; "
                "a version is never rewritten, so give this bundle another version"
            )
        return known

    async def _usable(self, model: str, version: str) -> None:
        try:
            await self.fetch(model, version)
        except BundleError as error:
            raise RegistryError(f"version {version} of {model} cannot be used: {error}") from error

    async def _made(self, now: Pointers) -> HistoryEntry:
        entry = await self._ledger.entry(now.model, now.champion_revision)
        if entry is None:
            raise RegistryError(f"the history of {now.model} lacks revision {now.champion_revision}")
        return entry


def _crown(action: Action, now: Pointers, version: str, *, keep_former: bool = False) -> Proposal:
    fields = {"champion": version, "champion_revision": str(now.revision + 1)}
    if keep_former and now.champion is not None:
        fields[candidate_field(now.champion)] = candidate_value(now.revision + 1)
    # The canary was weighed against the champion that goes: it ends with it.
    return Proposal(action, now.champion, version, fields, (candidate_field(version), CANARY))
