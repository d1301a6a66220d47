"""How records are read: from where the state says, each with what it follows, whatever Faust thinks.

What Faust 0.15.3 does to records on their way, as its source says; runs of the fault suite lost alerts by it:

- ``flow_control.resume()`` empties the queues of agents, also of records that are fetched already.
- The read offset of records fetched before a seek drops, unsaid, what is fetched after it.
- The set of partitions that it waits for is emptied meanwhile, and aiokafka then takes all of them.
- ``take_events`` acknowledges its batch when its agent is cancelled; skipped records are acknowledged, too.

None of it matters here: see :mod:`services.alerting.positions`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, cast

from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver

from shared.logs import get_logger

log = get_logger(__name__)

_FETCH_WAIT_MS: Final = 100


class Followed(NamedTuple):
    """A record, and the offset from which it was read: none lies between the two."""

    record: Any
    follows: int


class CommittedConsumerThread(driver.AIOKafkaConsumerThread):
    """Reads what is committed, does not wait long for it, and says what follows what."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.member_until = 0.0
        """Until when the group counts on this member, by ``time.monotonic``."""
        self.revocations = 0
        """How often the group took partitions away, if only to give them back."""
        self._read: dict[Any, tuple[int, int]] = {}
        """By partition: from where on there was no record, up to which position."""
        self.handed_out: dict[Any, int] = {}
        """The offset after the last record that Faust was given since the last seek, by partition."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Before start(), which hands both on: the fetcher does not exist yet.
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
        return consumer

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """Note from here on until when the group counts on this member: it hears of every heartbeat."""
        coordinator: Any = self._ensure_consumer()._coordinator
        beat = type(coordinator)._do_heartbeat

        async def noted() -> bool:
            sent = time.monotonic()
            alive = bool(await beat(coordinator))
            if alive:
                self.member_until = sent + self.app.conf.broker_session_timeout
            return alive

        coordinator._do_heartbeat = noted
        self.member_until = time.monotonic() + self.app.conf.broker_session_timeout
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        """Note it before anybody else can be given them."""
        self.revocations += 1
        await super().on_partitions_revoked(revoked)

    def verify_event_path(self, now: float, tp: Any) -> None:
        """Complain of a partition from which nothing is fetched, and of no more than that.

        Faust goes on to ask for acknowledgements, which mean nothing here: to it the topic of the tables,
        which is read at the start and written from then on, is a stream that stands still, which it logs as
        an error again and again.
        """
        self._verify_aiokafka_event_path(now, tp)

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, timeout: float | None = None, max_records: Any = None
    ) -> Any:
        """Return records with what they follow, of these partitions only.

        Faust changes the set that it hands over while it is used, and aiokafka takes an empty one for all
        partitions. Nothing waits between a look at a position and the records read from it, so that no
        seek can come in between.
        """
        wanted = set(active_partitions)
        fetcher, deadline = consumer._fetcher, time.monotonic() + (timeout or 0)
        while wanted and self.consumer.flow_active:
            while fetcher._subscriptions.reassignment_in_progress:
                await fetcher._subscriptions.wait_for_assignment()
            before = {tp: _position(consumer, tp) for tp in consumer.assignment()}
            records = await super()._fetch_records(consumer, wanted, 0, max_records)
            followed = {
                tp: self._follow(tp, place, _position(consumer, tp), records.get(tp, ()))
                for tp, place in before.items()
            }
            if records:
                return {tp: followed[tp] for tp in records}
            if not await _fetched(fetcher, deadline - time.monotonic()):
                break
        return {}

    def _follow(self, tp: Any, before: int, after: int, records: Iterable[Any]) -> list[Followed]:
        """Return records with what they follow: markers of transactions are read without any record."""
        follows, place = self._read.get(tp, (before, before))
        if place != before:  # sought since
            follows = before
        followed = []
        for record in records:
            followed.append(Followed(record, follows))
            follows = record.offset + 1
        self._read[tp] = follows, after
        if followed and not self.consumer._is_changelog_tp(ensure_TP(tp)):
            self.handed_out[ensure_TP(tp)] = follows
        return followed

    async def seek_to(self, known: Mapping[Any, int]) -> dict[Any, int]:
        """Go to where every partition is to be read on, and return it.

        Parameters
        ----------
        known
            Positions of the state. A partition without one begins at the group's commit, else at its first
            record; so does one whose records are gone, or whose topic was made anew.
        """
        return dict(await self.call_thread(self._seek_to, self._ensure_consumer(), known))

    async def _seek_to(self, consumer: Any, known: Mapping[Any, int]) -> dict[Any, int]:
        tps = [tp for tp in consumer.assignment() if not self.consumer._is_changelog_tp(ensure_TP(tp))]
        if not tps:
            return {}
        first, end = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        places = {}
        for tp in tps:
            place = known.get(ensure_TP(tp))
            if place is None:
                place = await consumer.committed(tp)
            within = place is not None and first[tp] <= place <= end[tp]
            places[ensure_TP(tp)] = place if within else first[tp]
        self.handed_out.clear()
        for tp, place in places.items():
            if tp in consumer.assignment():  # a rebalance may have come in between
                consumer.seek(tp, place)
        return places


async def _fetched(fetcher: Any, seconds: float) -> bool:
    """Return whether anything was fetched within this time."""
    if seconds <= 0:
        return False
    waiter = fetcher._create_fetch_waiter()
    await asyncio.wait([waiter], timeout=seconds)
    if not waiter.done():
        waiter.cancel()
        return False
    waiter.result()
    return True


def _position(consumer: Any, tp: Any) -> int:
    state = consumer._subscription.subscription.assignment.state_value(tp)
    return int(state._position or 0) if state is not None else 0


class _NothingRead(dict[Any, Any]):
    """Read offsets that are never known: by them Faust drops, unsaid, what is read again after a seek."""

    def __getitem__(self, key: Any) -> None:
        return None


class CommittedConsumer(driver.Consumer):
    """A consumer with that thread, that seeks to and commits the state's positions, whatever Faust acks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.held_back: set[Any] = set()
        """Partitions that may be read once they are sought."""
        self._read_offset = _NothingRead()
        self._durable: dict[Any, int] = {}

    def _new_consumer_thread(self) -> CommittedConsumerThread:
        return CommittedConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: Any, record: Followed) -> Any:
        message: Any = super()._to_message(tp, record.record)
        message.follows = record.follows
        return message

    def resume_partitions(self, tps: Iterable[Any]) -> None:
        """Resume changelogs at once, other partitions once they are sought: Faust seeks right after this."""
        wanted = set(tps)
        changelogs = {tp for tp in wanted if self._is_changelog_tp(tp)}
        self.held_back |= wanted - changelogs
        super().resume_partitions(changelogs)

    def pause_partitions(self, tps: Iterable[Any]) -> None:
        """Pause partitions, also those that are not resumed yet."""
        paused = set(tps)
        self.held_back -= paused
        super().pause_partitions(paused)

    async def perform_seek(self) -> None:
        """Go to the state's positions, and only then let records be taken."""
        held = set(self.held_back)  # what is resumed meanwhile waits for a seek of its own
        await self.seek_to_positions()
        held &= self.held_back & self.assignment()
        self.held_back -= held
        super().resume_partitions(held)

    async def seek_to_positions(self) -> None:
        """Go to where the state says that every partition is to be read on."""
        positions = cast(Any, self.app).positions
        known = positions.all()
        for tp, offset in (await self.thread.seek_to(known)).items():
            moved = known.get(tp) != positions.all().get(tp)  # by a record that was on its way
            if offset != known.get(tp) and not moved:
                log.info(
                    "a partition is read from here", topic=tp.topic, partition=tp.partition, offset=offset
                )
                positions.begin(tp, offset)

    @property
    def thread(self) -> CommittedConsumerThread:
        """What talks to Kafka."""
        return cast(CommittedConsumerThread, self._thread)

    def ack(self, message: Any) -> bool:
        """Let go of a message; what is committed does not rest on it."""
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    def durable(self, positions: Mapping[Any, int]) -> None:
        """Note what may be committed: that what follows from everything before it is kept."""
        self._durable = dict(positions)

    def _filter_committable_offsets(self, tps: Any) -> dict[Any, int]:
        assigned = self.assignment()
        return {
            tp: offset
            for tp, offset in self._durable.items()
            if tp in assigned and offset != self._committed_offset[tp]
        }

    async def create_topic(self, topic: str, *args: Any, **kwargs: Any) -> None:
        """Leave topics to ``driftline topics create``."""
