"""Quix Streams: labels joined as of their time to predictions that are kept in its RocksDB store."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from quixstreams import Application


def by_observed(value: Any, headers: Any, timestamp: float, timestamp_type: Any) -> int:
    """Return a message's own time, so that the store knows what may be forgotten."""
    return int(value.get("observed_at") or value["occurred_at"])


def main() -> None:
    """Run until SIGTERM."""
    app = Application(
        broker_address=os.environ["LOADTEST_BOOTSTRAP_SERVERS"],
        consumer_group=os.environ["LOADTEST_GROUP"],
        auto_offset_reset="earliest",
        state_dir=os.environ["LOADTEST_FOLDER"] + "/quix",
        loglevel="WARNING",
    )
    given = {"value_deserializer": "json", "key_deserializer": "str", "timestamp_extractor": by_observed}
    predictions = app.topic(os.environ["LOADTEST_PREDICTIONS"], **given)
    labels = app.topic(os.environ["LOADTEST_LABELS"], **given)
    labelled = app.topic(os.environ["LOADTEST_OUTPUT"], value_serializer="json", key_serializer="str")
    joined = app.dataframe(labels).join_asof(
        app.dataframe(predictions),
        how="inner",
        on_merge=lambda label, prediction: prediction | label,
        grace_ms=timedelta(milliseconds=int(os.environ["LOADTEST_HORIZON_MS"])),
    )
    joined.to_topic(labelled)
    app.run()


if __name__ == "__main__":
    main()
