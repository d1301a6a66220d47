"""Quix Streams: one event at a time, as its API has it; without a model it decodes and encodes."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import onnxruntime as ort
from quixstreams import Application

FEATURES = os.environ.get("LOADTEST_FEATURES", "").split(",")
MODEL_NAME = os.environ.get("LOADTEST_MODEL_NAME", "none")


def scorer() -> Any:
    """Return the function from event to probability; without a model it is always 0.5."""
    path = os.environ.get("LOADTEST_MODEL")
    if path is None:
        return lambda event: 0.5
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options)
    name, output = session.get_inputs()[0].name, [os.environ["LOADTEST_SCORE"]]

    def score(event: dict[str, Any]) -> float:
        row = [[event["features"][feature] for feature in FEATURES]]
        return float(session.run(output, {name: np.array(row, dtype=np.float32)})[0][0, 1])

    return score


def main() -> None:
    """Run until SIGTERM."""
    app = Application(
        broker_address=os.environ["LOADTEST_BOOTSTRAP_SERVERS"],
        consumer_group=os.environ["LOADTEST_GROUP"],
        auto_offset_reset="earliest",
        state_dir=os.environ["LOADTEST_FOLDER"] + "/quix",
        loglevel="WARNING",
    )
    events = app.topic(os.environ["LOADTEST_INPUT"], value_deserializer="json", key_deserializer="bytes")
    predictions = app.topic(os.environ["LOADTEST_OUTPUT"], value_serializer="json", key_serializer="bytes")
    score = scorer()

    def predict(event: dict[str, Any]) -> dict[str, Any]:
        probability = score(event)
        return {
            "event_id": event["event_id"],
            "model": MODEL_NAME,
            "model_version": "1",
            "score": probability,
            "occurred_at": event["occurred_at"],
            "entity_id": event["entity_id"],
            "label": "1" if probability >= 0.5 else "0",
        }

    app.dataframe(events).apply(predict).to_topic(predictions)
    app.run()


if __name__ == "__main__":
    main()
