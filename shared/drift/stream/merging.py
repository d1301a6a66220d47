"""All models whose counts come through one partition of the merge topic."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

from shared.drift.stream.ordering import SourceKey
from shared.drift.stream.partials import GROUPS, Partial
from shared.drift.stream.version import VersionState, VersionWatch
from shared.messages import DriftReport

FORMER_VERSIONS: Final = 2
"""Versions kept beside the active one, for a rollback: those that were active last."""


class _ModelState(msgspec.Struct, frozen=True, array_like=True):
    champions: list[tuple[str, int, str]]
    partitions: dict[str, int]
    versions: list[tuple[str, VersionState]]


class _State(msgspec.Struct, frozen=True, array_like=True):
    read_from: int
    models: dict[str, _ModelState]
    counted_to: int = 0


class _Position(msgspec.Struct, frozen=True, array_like=True):
    read_from: int


class ModelWatch:
    """The versions of one model, and how far each partition's clock has come."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.versions: dict[str, VersionWatch] = {}
        self._clocks: dict[SourceKey, int] = {}
        self._partitions: dict[str, int] = {}
        self._champions: dict[SourceKey, str] = {}
        self._topics: dict[str, str] = {}

    def offer(self, partial: Partial, arrived: int, *, again: bool = False) -> None:
        """Take a partial in; nothing moves until :meth:`advance`.

        Parameters
        ----------
        again
            Whether it was taken before the state was committed, and is read again for the slots that waited:
            which version was active then and what began is in the state.
        """
        source = (partial.topic, partial.partition)
        self._clocks[source] = max(self._clocks.get(source, -1), partial.clock)
        self._partitions[partial.topic] = max(self._partitions.get(partial.topic, 0), partial.partitions)
        self._topics[partial.group] = partial.topic
        watch, begin = self.versions.get(partial.version), None if again else partial.begin
        if watch is not None and begin is not None and watch.is_another(begin):
            watch = None  # the same name, but another bundle
        if watch is None and begin is not None:
            watch = self.versions[partial.version] = VersionWatch(self.model, partial.version, begin)
        if partial.active and not again and self._champions.get(source) != partial.version:
            self._activate(source, partial.version)
        if watch is not None:  # else its beginning is gone from the topic: without it nothing can be counted
            watch.offer(partial, arrived)

    def _activate(self, source: SourceKey, version: str) -> None:
        """Note the champion of a partition; of the versions the last one to become it stands last."""
        self._champions[source] = version
        if version in self.versions:
            self.versions[version] = self.versions.pop(version)
        self._forget_old()

    def _forget_old(self) -> None:
        active = set(self._champions.values())
        former = [version for version in self.versions if version not in active]
        for version in former[:-FORMER_VERSIONS]:
            del self.versions[version]

    def clock(self, topic: str) -> int:
        """Return the earliest clock of a topic's partitions, -1 as long as one has not been heard of."""
        count = self._partitions.get(topic, 0)
        return min((self._clocks.get((topic, partition), -1) for partition in range(count)), default=-1)

    def advance(self) -> bool:
        """Take every slot whose turn has come; return whether an alarm was raised."""
        alarmed = False
        for watch in self.versions.values():
            for group in GROUPS:
                if group in self._topics:
                    alarmed |= watch.advance(group, self.clock(self._topics[group]))
        return alarmed

    def is_active(self, version: str) -> bool:
        """Return whether a version is the champion in any partition."""
        return version in self._champions.values()

    def earliest_arrivals(self) -> Iterator[int]:
        """Yield offsets in the merge topic before which nothing is needed any more, per order."""
        for watch in self.versions.values():
            for order in watch.orders.values():
                if (offset := order.earliest_arrival) is not None:
                    yield offset

    def snapshot(self) -> _ModelState:
        """Return the state, equal for equal histories."""
        return _ModelState(
            champions=sorted((topic, p, version) for (topic, p), version in self._champions.items()),
            partitions=dict(sorted(self._partitions.items())),
            versions=[(version, watch.snapshot()) for version, watch in self.versions.items()],
        )

    @classmethod
    def restored(cls, model: str, state: _ModelState) -> ModelWatch:
        """Return what a state describes. Clocks are heard of again: slots that waited come with them."""
        made = cls(model)
        made._champions = {(topic, partition): version for topic, partition, version in state.champions}
        made._partitions = dict(state.partitions)
        made.versions = {v: VersionWatch.restored(model, v, inner) for v, inner in state.versions}
        return made


class Merger:
    """Everything that one partition of the merge topic leads to.

    Parameters
    ----------
    topic, partition
        The merge topic, as reports name it.
    next_offset
        Where the merge topic is read from.
    state
        From a former :meth:`snapshot`, else None.
    """

    def __init__(self, topic: str, partition: int, next_offset: int = 0, state: bytes | None = None) -> None:
        self._topic, self._partition = topic, partition
        self._next_offset = self._counted_to = self._known_to = next_offset
        self.models: dict[str, ModelWatch] = {}
        if state:
            restored = msgspec.msgpack.decode(zlib.decompress(state), type=_State)
            self._counted_to = self._known_to = max(next_offset, restored.counted_to)
            self.models = {name: ModelWatch.restored(name, inner) for name, inner in restored.models.items()}

    def take(self, partials: Iterator[tuple[int, Partial]], next_offset: int) -> bool:
        """Take partials with their offsets, in order; return whether an alarm was raised."""
        for offset, partial in partials:
            model = self.models.setdefault(partial.model, ModelWatch(partial.model))
            model.offer(partial, offset, again=offset < self._known_to)
        self._next_offset = next_offset
        self._counted_to = max(self._counted_to, next_offset)
        alarmed = [model.advance() for model in self.models.values()]
        return any(alarmed)

    @property
    def waiting(self) -> int:
        """How many slots wait for their turn."""
        versions = (watch for model in self.models.values() for watch in model.versions.values())
        return sum(order.waiting for watch in versions for order in watch.orders.values())

    def seen(self) -> Iterator[tuple[str, int]]:
        """Yield how many events the detectors of each model's active version have seen."""
        for name, model in self.models.items():
            for version, watch in model.versions.items():
                group = watch.watch("features")
                if group is not None and model.is_active(version):
                    yield name, group.rate.events

    @property
    def read_from(self) -> int:
        """The first offset that whoever comes after must read: slots wait that came with it."""
        arrivals = (offset for model in self.models.values() for offset in model.earliest_arrivals())
        return min(arrivals, default=self._next_offset)

    def reports(self, now: int) -> Iterator[DriftReport]:
        """Yield the reports of every version about which there is news.

        They name the furthest offset that was counted, which the one that is read from may be before:
        what waits is read again after a restart, and nobody may take the next report for an older one.
        """
        for model in self.models.values():
            for version, watch in model.versions.items():
                if watch.dirty:
                    yield from watch.reports(
                        self._topic, self._partition, self._counted_to, now, active=model.is_active(version)
                    )

    def snapshot(self) -> bytes:
        """Return the state to commit; slots that wait are not in it, but their offset is."""
        models = {name: model.snapshot() for name, model in self.models.items()}
        state = _State(self.read_from, models, self._counted_to)
        return zlib.compress(msgspec.msgpack.encode(state), 1)

    @staticmethod
    def resume_at(state: bytes) -> int:
        """Return the offset from which the merge topic must be read again after a restart."""
        return msgspec.msgpack.decode(zlib.decompress(state), type=_Position).read_from
