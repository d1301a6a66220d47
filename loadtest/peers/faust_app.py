"""Faust (the fork faust-streaming): ``take`` for one ONNX call per batch, then a send per event."""

from __future__ import annotations

import os
from typing import Any

import faust
import numpy as np
import onnxruntime as ort
import orjson

FEATURES = os.environ["LOADTEST_FEATURES"].split(",")
MODEL_NAME = os.environ["LOADTEST_MODEL_NAME"]
SCORE = [os.environ["LOADTEST_SCORE"]]
BATCH = 1_000
WITHIN_SECONDS = 0.05

options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(os.environ["LOADTEST_MODEL"], options)
INPUT = session.get_inputs()[0].name

app = faust.App(
    os.environ["LOADTEST_GROUP"],
    broker="kafka://" + os.environ["LOADTEST_BOOTSTRAP_SERVERS"],
    store="memory://",
    topic_partitions=6,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
)
events = app.topic(os.environ["LOADTEST_INPUT"], value_type=bytes, value_serializer="raw")
predictions = app.topic(os.environ["LOADTEST_OUTPUT"], value_type=bytes, value_serializer="raw")


async def score(stream: Any) -> None:
    """Score batches of events and send one prediction each."""
    async for batch in stream.take(BATCH, within=WITHIN_SECONDS):
        decoded = [orjson.loads(value) for value in batch]
        rows = [[event["features"][name] for name in FEATURES] for event in decoded]
        probabilities = session.run(SCORE, {INPUT: np.array(rows, dtype=np.float32)})[0]
        for event, probability in zip(decoded, probabilities[:, 1].tolist(), strict=True):
            await predictions.send(key=event["entity_id"], value=orjson.dumps(prediction(event, probability)))


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


app.agent(events)(score)

if __name__ == "__main__":
    app.main()
