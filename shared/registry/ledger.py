"""The registry's data in Redis: keys, reads, and the one script through which every change goes.

Per model, under the prefix (default ``driftline:``):

=========================  ======  ==============================================================
key                        type    contents
=========================  ======  ==============================================================
``models``                 set     names of all models
``model:{m}:pointers``     hash    ``revision``, ``champion``, ``champion_revision``, ``last`` (JSON)
                                   ``canary`` (JSON) and one ``candidate:{version}`` (JSON) per candidate
``model:{m}:versions``     hash    :class:`VersionInfo` (JSON) by version
``model:{m}:history``      stream  entry ``{revision}-0``: a :class:`HistoryEntry` (JSON)
``model:{m}:requests``     hash    revision by request id
``model:{m}:upload:{v}``   string  digest of the bundle that is being uploaded; expires
``changes``                channel the model's name, on every change
=========================  ======  ==============================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import redis.asyncio as aioredis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from shared.address import masked
from shared.errors import ConfigError, RegistryError, TransientError
from shared.registry.records import CanaryShare, HistoryEntry, Pointers, VersionInfo

# One script, so that Redis carries out pointer, history, request id and notification together or
# not at all. The history's XADD comes first: it is the only command that can be refused (a stream
# takes no id at or below its last one), and Redis does not undo what a script has done before.
WRITE: Final = """
local pointers, history, requests, versions, models = unpack(KEYS)
local write = cjson.decode(ARGV[1])
local repeated = redis.call('HGET', requests, write.request_id)
if repeated then return {'repeated', repeated} end
local revision = redis.call('HGET', pointers, 'revision') or '0'
if revision ~= write.expected then return {'conflict', revision} end
redis.call('XADD', history, write.revision .. '-0', 'entry', ARGV[2])
redis.call('HSET', pointers, 'revision', write.revision, 'last', ARGV[2])
for _, field in ipairs(write.remove) do redis.call('HDEL', pointers, field) end
for field, value in pairs(write.set) do redis.call('HSET', pointers, field, value) end
if ARGV[3] ~= '' then redis.call('HSET', versions, write.version, ARGV[3]) end
redis.call('SADD', models, write.model)
redis.call('HSET', requests, write.request_id, write.revision)
redis.call('PUBLISH', write.channel, write.model)
return {'done', write.revision}
"""

CANARY: Final = "canary"
"""Field of the canary in the pointers."""

_CANDIDATE: Final = "candidate:"
_AWAY: Final = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
    exceptions.OutOfMemoryError,
    OSError,
)
"""A later try may succeed: away, loading, failing over, or full."""
UPLOAD_SECONDS: Final = 3600


class Ledger:
    """Reads and compare-and-set writes of the registry's data in one Redis.

    Parameters
    ----------
    redis_url
        ``redis://``, ``rediss://`` or ``unix://``, password and TLS options included.
    prefix
        Put in front of every key and channel.
    on_available
        Called with the new value whenever ``available`` changes.
    """

    def __init__(self, redis_url: str, prefix: str, on_available: Callable[[bool], None]) -> None:
        self.address = masked(redis_url)
        self.prefix = prefix
        self.available = False
        self._on_available = on_available
        self._redis = _client(redis_url, self.address)
        self._write = self._redis.register_script(WRITE)

    @property
    def channel(self) -> str:
        """Name of the channel on which every change is announced."""
        return f"{self.prefix}changes"

    def key(self, model: str, what: str) -> str:
        """Return the key of one part of a model's data."""
        return f"{self.prefix}model:{model}:{what}"

    def subscription(self) -> Any:
        """Return a new pub/sub client; the caller closes it."""
        return self._redis.pubsub()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._redis.aclose()

    @contextmanager
    def calling(self, *, answered: bool = True) -> Iterator[None]:
        """Translate what the Redis client raises, and keep ``available``.

        ``answered`` is false where coming through says nothing about Redis, like waiting in vain.
        """
        try:
            yield
        except exceptions.AuthenticationError as error:
            self._report(False)
            raise RegistryError(f"Redis at {self.address} refuses the login: {error}") from error
        except _AWAY as error:
            self._report(False)
            raise TransientError(f"Redis at {self.address} does not answer: {error}") from error
        except exceptions.RedisError as error:
            raise RegistryError(f"Redis at {self.address} refuses the command: {error}") from error
        if answered:
            self._report(True)

    def _report(self, available: bool) -> None:
        if available != self.available:
            self.available = available
            self._on_available(available)

    async def models(self) -> tuple[str, ...]:
        """Return the names of all models, sorted."""
        with self.calling():
            return tuple(sorted(await self._redis.smembers(f"{self.prefix}models")))

    async def versions(self, model: str) -> tuple[VersionInfo, ...]:
        """Return the registered versions, oldest first."""
        with self.calling():
            raw = await self._redis.hvals(self.key(model, "versions"))
        infos = [self._decode(text, VersionInfo, model, "versions") for text in raw]
        return tuple(sorted(infos, key=lambda info: (info.registered_at, info.version)))

    async def version(self, model: str, version: str) -> VersionInfo | None:
        """Return one registered version, or None."""
        with self.calling():
            raw = await self._redis.hget(self.key(model, "versions"), version)
        return None if raw is None else self._decode(raw, VersionInfo, model, "versions")

    async def pointers(self, models: Sequence[str]) -> tuple[Pointers, ...]:
        """Return the pointers of several models in one round trip."""
        with self.calling():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for model in models:
                    pipeline.hgetall(self.key(model, "pointers"))
                answers = await pipeline.execute()
        return tuple(self._pointers(model, raw) for model, raw in zip(models, answers, strict=True))

    def _pointers(self, model: str, raw: Mapping[str, str]) -> Pointers:
        since = {
            field.removeprefix(_CANDIDATE): self._decode(value, _Candidate, model, "pointers").since
            for field, value in raw.items()
            if field.startswith(_CANDIDATE)
        }
        last, canary = raw.get("last"), raw.get(CANARY)
        return Pointers(
            model=model,
            champion=raw.get("champion"),
            candidates=tuple(sorted(since, key=lambda version: (since[version], version))),
            since=since,
            canary=None if canary is None else self._decode(canary, CanaryShare, model, "pointers"),
            revision=int(raw.get("revision", 0)),
            champion_revision=int(raw.get("champion_revision", 0)),
            last=None if last is None else self._decode(last, HistoryEntry, model, "pointers"),
        )

    async def history(
        self, model: str, *, after: int = 0, limit: int | None = None
    ) -> tuple[HistoryEntry, ...]:
        """Return the changes above revision ``after``, newest first, at most ``limit``."""
        with self.calling():
            rows = await self._redis.xrevrange(
                self.key(model, "history"), max="+", min=f"{after + 1}-0", count=limit
            )
        return tuple(self._decode(fields["entry"], HistoryEntry, model, "history") for _, fields in rows)

    async def entry(self, model: str, revision: int) -> HistoryEntry | None:
        """Return the change that made a revision, or None."""
        with self.calling():
            rows = await self._redis.xrange(self.key(model, "history"), f"{revision}-0", f"{revision}-0")
        return self._decode(rows[0][1]["entry"], HistoryEntry, model, "history") if rows else None

    async def request(self, model: str, request_id: str) -> HistoryEntry | None:
        """Return the change that a request made, or None where it made none yet."""
        with self.calling():
            revision = await self._redis.hget(self.key(model, "requests"), request_id)
        return None if revision is None else await self.entry(model, int(revision))

    async def reserve(self, model: str, version: str, digest: str) -> str:
        """Reserve a version for the upload of a bundle; returns the digest that holds it."""
        key = self.key(model, f"upload:{version}")
        with self.calling():
            await self._redis.set(key, digest, nx=True, ex=UPLOAD_SECONDS)
            return str(await self._redis.get(key) or digest)

    async def release(self, model: str, version: str) -> None:
        """Give a reservation back."""
        with self.calling():
            await self._redis.delete(self.key(model, f"upload:{version}"))

    async def write(
        self,
        entry: HistoryEntry,
        *,
        fields: Mapping[str, str],
        remove: Iterable[str] = (),
        version: VersionInfo | None = None,
    ) -> HistoryEntry | None:
        """Carry out a change if the model is still at the revision before it.

        Returns
        -------
        HistoryEntry or None
            The change that the request made, now or when it was sent before; None where another
            change came first.

        Raises
        ------
        RegistryError
            ``who``, ``why`` or the request id is missing or too long: what no reader could read is
            not written.
        """
        raw = msgspec.json.encode(entry)
        try:
            msgspec.json.decode(raw, type=HistoryEntry)
        except msgspec.ValidationError as error:
            raise RegistryError(f"{entry.action} of {entry.model} cannot be recorded: {error}") from error
        write = {
            "model": entry.model,
            "request_id": entry.request_id,
            "expected": str(entry.revision - 1),
            "revision": str(entry.revision),
            "set": fields,
            "remove": tuple(remove),
            "version": "" if version is None else version.version,
            "channel": self.channel,
        }
        keys = [self.key(entry.model, what) for what in ("pointers", "history", "requests", "versions")]
        args = [msgspec.json.encode(write), raw, b"" if version is None else msgspec.json.encode(version)]
        with self.calling():
            outcome, revision = await self._write(keys=[*keys, f"{self.prefix}models"], args=args)
        if outcome == "conflict":
            return None
        return entry if outcome == "done" else await self.entry(entry.model, int(revision))

    def _decode(self, raw: str, kind: type[Any], model: str, what: str) -> Any:
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.DecodeError as error:
            raise RegistryError(f"{self.key(model, what)} in Redis is damaged: {error}") from error


class _Candidate(msgspec.Struct, frozen=True):
    since: int


def candidate_field(version: str) -> str:
    """Return the name of a candidate's field in the pointers.

    Examples
    --------
    >>> candidate_field("3")
    'candidate:3'
    """
    return _CANDIDATE + version


def candidate_value(revision: int) -> str:
    """Return the value of a candidate's field; readers ignore keys they do not know.

    Examples
    --------
    >>> candidate_value(7)
    '{"since":7}'
    """
    return msgspec.json.encode(_Candidate(revision)).decode()


def _client(url: str, address: str) -> Any:
    """Return a client that gives up within seconds; who wants to wait longer waits outside of it."""
    try:
        return aioredis.Redis.from_url(
            url,
            decode_responses=True,
            protocol=2,  # the same answers from every redis-py we allow, and through proxies
            socket_connect_timeout=3,
            socket_timeout=5,
            health_check_interval=15,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 1),
        )
    except (ValueError, TypeError):
        # Without the cause: its message quotes the part of the URL it stumbled over.
        problem = (
            f"redis_url {address!r} is no Redis URL: it begins with redis://, rediss:// or unix://, "
            "and special characters in the password are percent-encoded"
        )
        raise ConfigError([problem]) from None
