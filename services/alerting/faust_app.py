"""Faust, held to what is safe here: committed records only, one working process, no files, no web.

Every rule has its cause in Faust 0.15.3 and aiokafka 0.14, and a test:

- The consumer reads uncommitted records in at-least-once mode: its thread is subclassed, in
  :mod:`services.alerting.consumer`.
- Fetches wait 1.5 s on a quiet topic on brokers that do not answer early: the same subclass.
- Topics are made by ``driftline topics create``, never by a worker.
- Faust loses records on their way to an agent, and acknowledges what no agent has acted on: the position
  lies in the state, every record says what it follows, and what is committed are the state's positions
  (:mod:`services.alerting.positions`).
- A process that was frozen while another took over goes on where it was: who may have lost its partitions
  writes nothing (:attr:`Worker.member`).
- Merging needs all partitions of ``reports`` in one place, so the assignor gives everything to one
  process; the others stand by and take over within the session timeout.
- A table's write is only known to be durable once its future is done: :class:`DurableTable` keeps them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import faust
from faust.assignor.client_assignment import ClientAssignment
from faust.assignor.partition_assignor import PartitionAssignor
from faust.auth import SASLCredentials, SSLCredentials
from faust.tables.table import Table
from faust.transport.drivers import aiokafka as driver
from yarl import URL

from services.alerting.consumer import CommittedConsumer
from services.alerting.positions import Positions
from shared.logs import get_logger

log = get_logger(__name__)


class Producer(driver.Producer):
    """A producer that creates no topics."""

    async def create_topic(self, topic: str, *args: Any, **kwargs: Any) -> None:
        """Leave topics to ``driftline topics create``."""


class Transport(driver.Transport):
    """aiokafka with both."""

    Consumer = CommittedConsumer
    Producer = Producer


class OneWorker(PartitionAssignor):
    """Gives every partition of every topic to one member; the others get none and stand by.

    The member that has them keeps them, so that a second process that starts moves nothing.
    """

    def _perform_assignment(self, cluster: Any, member_metadata: Any) -> Any:
        clients = {member: self._get_client_metadata(data) for member, data in member_metadata.items()}
        working = sorted(
            member for member, client in clients.items() if any(client.assignment.actives.values())
        )
        worker = (working or sorted(clients))[0]
        assignment = super()._perform_assignment(cluster, {worker: member_metadata[worker]})
        self._update_member_urls(clients)
        nothing = {
            member: ClientAssignment(actives={}, standbys={}) for member in clients if member != worker
        }
        assignment.update(self._protocol_assignments(nothing, {}, {}, {}))
        return assignment


class DurableTable(Table[bytes, bytes]):
    """A table of one partition that knows which of its writes the broker has not acknowledged yet."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unconfirmed: list[Any] = []

    def partition_for_key(self, key: bytes) -> int:
        """Return the one partition of the state topic, also outside an agent."""
        return 0

    def send_changelog(self, *args: Any, **kwargs: Any) -> Any:
        """Send a write to the changelog and keep its future."""
        future = super().send_changelog(*args, **kwargs)
        self._unconfirmed.append(future)
        return future

    def put(self, key: bytes, value: bytes | None) -> None:
        """Set a key, or delete it where ``value`` is ``None``."""
        if value is not None:
            self[key] = value
        elif key in self:
            del self[key]

    def forget(self) -> None:
        """Drop what is in memory only: another process has the partition."""
        self.data.data.clear()

    async def durable(self) -> None:
        """Return once every write so far is acknowledged, else raise the first failure."""
        waiting, self._unconfirmed = self._unconfirmed, []
        if waiting:
            await self.app.producer.buffer.flush()
            await asyncio.gather(*waiting)


class Worker(faust.App):
    """An app with these parts, that makes no folder of its own."""

    positions = Positions()
    """Where partitions are read on, of the state that counts: who reads the state back sets it."""

    def _new_transport(self) -> Any:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Any:
        return Transport(self.conf.broker_producer, self)

    def bytes_topic(self, name: str) -> Any:
        """Return a topic whose keys and values are handed over as they are."""
        return self.topic(
            name,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            allow_empty=True,
        )

    def state_table(self, topic: str) -> DurableTable:
        """Return the table whose changelog is ``topic``, of one partition."""
        table = self.Table(
            topic, key_type=bytes, value_type=bytes, partitions=1, changelog_topic=self.bytes_topic(topic)
        )
        assert isinstance(table, DurableTable)
        self._state = table
        return table

    def on_recovered(self, act: Callable[..., Awaitable[None]]) -> None:
        """Call ``act`` whenever partitions were given out and the state is read back."""
        self._state.on_recover(act)

    async def send_bytes(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Any = None
    ) -> Awaitable[Any]:
        """Hand a record to the producer; awaiting what is returned waits for the broker."""
        return await self.producer.send(topic, key, value, None, None, headers)

    def durable(self, positions: Mapping[Any, int]) -> None:
        """Let positions be committed: what follows from everything before them is kept."""
        cast(CommittedConsumer, self.consumer).durable(positions)

    @property
    def group(self) -> str:
        """The consumer group."""
        return str(self.conf.id)

    @property
    def revocations(self) -> int:
        """How often the group took partitions away, if only to give them back."""
        return cast(CommittedConsumer, self.consumer).thread.revocations

    @property
    def member(self) -> bool:
        """Whether nobody else can have been given what this process has.

        One that was frozen long enough finds it out by this, before it hears of it from the group.
        """
        return time.monotonic() < cast(CommittedConsumer, self.consumer).thread.member_until

    async def read_on(self) -> None:
        """Read again what was handed out and never came; call it now and then, when nothing else is done.

        And seek where that could not be done after a rebalance: the broker was away.
        """
        consumer = cast(CommittedConsumer, self.consumer)
        if stuck := self.positions.stuck(dict(consumer.thread.handed_out)):
            log.warning("records were handed out and did not come: read again", partitions=sorted(stuck))
        if stuck or (consumer.held_back and not self.rebalancing):
            await consumer.perform_seek()

    @property
    def assigned(self) -> set[Any]:
        """The partitions that this process has."""
        return set(self._assignment or ())

    def behind(self) -> dict[tuple[str, int], int]:
        """Return how many records are not yet read, by topic and partition, as far as is known."""
        thread: Any = self.consumer
        consumer = thread._thread._consumer
        lags = {}
        for tp in self.assigned:
            state = consumer._subscription.subscription.assignment.state_value(tp)
            if tp.topic == self._state.name or state is None or state.highwater is None:
                continue
            end = state.highwater if state.lso is None or state.lso < 0 else state.lso
            lags[tp.topic, tp.partition] = max(0, end - (state._position or 0))
        return lags

    def _create_directories(self) -> None:
        """Keep nothing on disk: state lives in its topic."""


def new_worker(client: Mapping[str, Any], *, group: str, instance: str, session_seconds: float) -> Worker:
    """Return an app that is not started.

    Parameters
    ----------
    client
        Arguments of every aiokafka client.
    group
        Consumer group.
    instance
        What tells this process from the others of the group: host and process.
    session_seconds
        Silence after which another process takes over; Kafka refuses less than 6.
    """
    servers = client["bootstrap_servers"].split(",")
    return Worker(
        group,
        version=1,
        broker=[URL(f"kafka://{server}") for server in servers],
        broker_client_id=client["client_id"],
        broker_credentials=_credentials(client),
        broker_session_timeout=session_seconds,
        broker_heartbeat_interval=session_seconds / 10,
        broker_rebalance_timeout=max(session_seconds, 10.0),
        broker_request_timeout=max(session_seconds + 5, 30.0),
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        processing_guarantee="at_least_once",
        producer_acks=-1,
        producer_linger_ms=0,
        producer_max_request_size=8 << 20,
        producer_threaded=False,
        store="memory://",
        cache="memory://",
        web_enabled=False,
        canonical_url=URL(f"http://{instance.replace(':', '-')}"),
        topic_allow_declare=True,  # our consumer and producer create none, without a warning for each
        topic_disable_leader=True,
        stream_wait_empty=False,
        stream_buffer_maxsize=4_096,
        table_standby_replicas=0,
        PartitionAssignor=OneWorker,
        Table=DurableTable,
        loghandlers=[],
        autodiscover=False,
        reply_create_topic=False,
    )


def _credentials(client: Mapping[str, Any]) -> Any:
    context = client.get("ssl_context")
    if "sasl_mechanism" in client:
        return SASLCredentials(
            username=client["sasl_plain_username"],
            password=client["sasl_plain_password"],
            mechanism=client["sasl_mechanism"],
            ssl_context=context,
        )
    return SSLCredentials(context=context) if context is not None else None
