"""Positions held against what the log still has: retention deletes also what nobody has read.

aiokafka goes to the beginning by itself where the broker says that it does not have a position
(``OffsetOutOfRange``), whether the records before it were deleted or the topic is another one of the
same name. The first is a loss to be counted, the second would mix two topics in one state.
"""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.errors import ServiceError
from shared.logs import get_logger
from shared.metrics import PipelineMetrics
from shared.pipeline.options import PipelineOptions

log = get_logger(__name__)


class Retained:
    """Says where a partition can be read on, and counts what can not be read any more.

    Parameters
    ----------
    consumer
        Asked for the log's beginning, and for its end as of the last fetch.
    """

    def __init__(
        self, consumer: AIOKafkaConsumer, options: PipelineOptions, metrics: PipelineMetrics
    ) -> None:
        self._consumer = consumer
        self._options = options
        self._metrics = metrics

    async def first_readable(self, tp: TopicPartition, position: int, *, had: int = 0) -> int:
        """Return ``position``, or where the log begins if it begins behind it.

        Parameters
        ----------
        had
            What lies before this offset was read or told lost before: it is not counted again.

        Raises
        ------
        aiokafka.errors.KafkaError
            The broker is in trouble.
        """
        begin = (await self._consumer.beginning_offsets([tp]))[tp]
        if position < begin:
            self._tell(tp, position, begin, lost=begin - max(position, had))
            return int(begin)
        return position

    def check_end(self, tp: TopicPartition, position: int) -> None:
        """Check a position against the end that came with the last fetch, which began elsewhere.

        Not before a fetch, and not by asking for end offsets: the embedded broker's are too small.

        Raises
        ------
        ServiceError
            The log ends before ``position``: it is not the one that was read.
        """
        end = self._consumer.highwater(tp)
        if end is not None and position > end:
            raise self._another_log(tp, position, end)

    def _tell(self, tp: TopicPartition, position: int, begin: int, *, lost: int) -> None:
        where: dict[str, Any] = {
            "topic": tp.topic, "partition": tp.partition, "offset": position, "next_offset": begin
        }  # fmt: skip
        if lost > 0:
            self._metrics.lost.labels(tp.topic).inc(lost)
            log.error("records were deleted before they were read: they are lost", lost=lost, **where)
        else:
            log.warning("records that would be read again were deleted", **where)

    def _another_log(self, tp: TopicPartition, position: int, end: int) -> ServiceError:
        state, group = self._options.state_topic, self._options.group
        return ServiceError(
            f"this partition was read further than its end, which is {end} now: the topic was deleted and "
            "made anew, or the broker lost its newest records. To read it from its beginning, stop every "
            f"process of the service, delete the topic {state} and the offsets of the group {group}, run "
            "driftline topics create and start again",
            topic=tp.topic,
            partition=tp.partition,
            offset=position,
        )
