"""Starting Kafka clients so that one that is broken off leaves nothing open."""

from __future__ import annotations

import traceback

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer


async def start(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Start a client; if that is cancelled or fails, its first connection is closed too.

    aiokafka asks the first broker for the cluster over a connection that only the asking function
    holds. Where a timeout or a shutdown cancels it there, nobody could close that connection any more,
    so it is taken out of the frame that was left; the others belong to the client, which is stopped as ever.
    """
    try:
        await client.start()
    except BaseException as error:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            connection = frame.f_locals.get("bootstrap_conn")
            if connection is not None:
                connection.close()  # twice does no harm
        raise
