"""Faust (the fork faust-streaming): predictions in a table, each label looked up in it and sent on."""

from __future__ import annotations

import os
from typing import Any

import faust
import orjson

app = faust.App(
    os.environ["LOADTEST_GROUP"],
    broker="kafka://" + os.environ["LOADTEST_BOOTSTRAP_SERVERS"],
    store="memory://",
    topic_partitions=int(os.environ["LOADTEST_PARTITIONS"]),
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
)
raw: dict[str, Any] = {
    "key_type": bytes,
    "value_type": bytes,
    "key_serializer": "raw",
    "value_serializer": "raw",
}
predictions = app.topic(os.environ["LOADTEST_PREDICTIONS"], **raw)
labels = app.topic(os.environ["LOADTEST_LABELS"], **raw)
labelled = app.topic(os.environ["LOADTEST_OUTPUT"], **raw)
table = app.Table("open", key_type=bytes, value_type=bytes, partitions=int(os.environ["LOADTEST_PARTITIONS"]))


async def keep(stream: Any) -> None:
    """Keep every prediction."""
    async for key, value in stream.items():
        table[key] = value


async def join(stream: Any) -> None:
    """Send every label on with its prediction."""
    async for key, value in stream.items():
        prediction = table.get(key)
        if prediction is not None:
            await labelled.send(key=key, value=orjson.dumps(orjson.loads(prediction) | orjson.loads(value)))


app.agent(predictions)(keep)
app.agent(labels)(join)

if __name__ == "__main__":
    app.main()
