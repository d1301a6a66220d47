"""FastStream: a batch subscriber of up to 1,000 messages, one ONNX call, and one batch published.

It decodes by itself, with orjson where that is installed. Its Kafka client is aiokafka.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson
import uvloop
from faststream import FastStream
from faststream.kafka import KafkaBroker, KafkaPublishMessage

FEATURES = os.environ["LOADTEST_FEATURES"].split(",")
MODEL_NAME = os.environ["LOADTEST_MODEL_NAME"]
SCORE = [os.environ["LOADTEST_SCORE"]]
BATCH = 1_000

options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(os.environ["LOADTEST_MODEL"], options)
INPUT = session.get_inputs()[0].name

# A published batch has to fit into one record batch, and the 16 KiB of the default hold some 70 predictions.
broker = KafkaBroker(os.environ["LOADTEST_BOOTSTRAP_SERVERS"], max_batch_size=1 << 20)
predictions = broker.publisher(os.environ["LOADTEST_OUTPUT"], batch=True)


async def score(events: list[dict[str, Any]]) -> None:
    """Publish one prediction per event of a batch."""
    rows = [[event["features"][name] for name in FEATURES] for event in events]
    probabilities = session.run(SCORE, {INPUT: np.array(rows, dtype=np.float32)})[0]
    await predictions.publish(
        *(
            KafkaPublishMessage(orjson.dumps(prediction(event, probability)), key=event["entity_id"].encode())
            for event, probability in zip(events, probabilities[:, 1].tolist(), strict=True)
        )
    )


def prediction(event: dict[str, Any], probability: float) -> dict[str, Any]:
    """Return the fields of Driftline's prediction, less ``source`` and ``scored_at``."""
    return {
        "event_id": event["event_id"],
        "model": MODEL_NAME,
        "model_version": "1",
        "score": probability,
        "occurred_at": event["occurred_at"],
        "entity_id": event["entity_id"],
        "label": "1" if probability >= 0.5 else "0",
    }


broker.subscriber(
    os.environ["LOADTEST_INPUT"],
    group_id=os.environ["LOADTEST_GROUP"],
    auto_offset_reset="earliest",
    batch=True,
    max_records=BATCH,
)(score)

if __name__ == "__main__":
    uvloop.run(FastStream(broker).run())  # as ``faststream run`` does where uvloop is installed
