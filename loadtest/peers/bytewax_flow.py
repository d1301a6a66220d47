"""Bytewax: one source, one batch of up to 1,000 messages per ONNX call, one sink. At least once.

Started as ``python -m bytewax.run bytewax_flow.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import bytewax.operators as op
import numpy as np
import onnxruntime as ort
import orjson
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow

BROKERS = [os.environ["LOADTEST_BOOTSTRAP_SERVERS"]]
FEATURES = os.environ["LOADTEST_FEATURES"].split(",")
MODEL_NAME = os.environ["LOADTEST_MODEL_NAME"]
SCORE = [os.environ["LOADTEST_SCORE"]]

options = ort.SessionOptions()
options.intra_op_num_threads = 1  # idle ONNX threads would spin, at the peer's cost
session = ort.InferenceSession(os.environ["LOADTEST_MODEL"], options)
INPUT = session.get_inputs()[0].name


def score(messages: list[Any]) -> Iterable[Any]:
    """Return one prediction per event of a batch."""
    events = [orjson.loads(message.value) for message in messages]
    rows = [[event["features"][name] for name in FEATURES] for event in events]
    probabilities = session.run(SCORE, {INPUT: np.array(rows, dtype=np.float32)})[0]
    return [
        KafkaSinkMessage(message.key, orjson.dumps(prediction(event, probability)))
        for message, event, probability in zip(messages, events, probabilities[:, 1].tolist(), strict=True)
    ]


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


flow = Dataflow("loadtest")
source: Any = KafkaSource(BROKERS, [os.environ["LOADTEST_INPUT"]])
sink: Any = KafkaSink(BROKERS, os.environ["LOADTEST_OUTPUT"])
op.output("out", op.flat_map_batch("score", op.input("in", flow, source), score), sink)
