"""The reports topic, read from its beginning to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator

from services.cli.connection import Connection
from services.cli.letters import bounds, scan
from shared.messages import NOT_JSON
from shared.reports import AnyReport, LatestReports, decode_report


async def all_reports(connection: Connection) -> AsyncIterator[AnyReport]:
    """Yield every report there is now, in order within each partition.

    A record that is none of a known kind is passed over: a newer service may write them.

    Raises
    ------
    ServiceError
        There is no reports topic.
    TransientError
        The broker has sent nothing for half a minute.
    """
    async with connection.reader() as consumer:
        partitions = await connection.partitions(consumer, connection.topics.reports)
        async for record in scan(consumer, await bounds(consumer, partitions)):
            try:
                yield decode_report(record.value or b"")
            except NOT_JSON:
                continue


async def latest_reports(connection: Connection) -> LatestReports:
    """Return the newest report of every key."""
    latest = LatestReports()
    async for report in all_reports(connection):
        latest.take(report)
    return latest
