"""A step that copies, counts and can be told to fail, to test the pipeline without a model.

Also a program: ``python -m tests.integration.pipeline.echo BOOTSTRAP PREFIX DELIVERY`` runs it as a
process that tests can kill.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Sequence

from prometheus_client import CollectorRegistry

from shared.kafka.records import Output, Records
from shared.lifecycle import run, stop_on_signals
from shared.metrics import PipelineMetrics
from shared.pipeline.options import PipelineOptions
from shared.pipeline.pipeline import Pipeline


class Echo:
    """Copies every record to ``out``; its state is the count of records copied per partition."""

    def __init__(self, out: str) -> None:
        self.out = out
        self.counts: dict[tuple[str, int], int] = {}
        self.opened: list[tuple[int, int, int]] = []

    def decode(self, batch: Sequence[Records]) -> Sequence[Records]:
        return batch

    def compute(self, work: Sequence[Records]) -> None:
        pass

    def encode(self, work: Sequence[Records], index: int) -> list[Output]:
        part = work[index]
        self.counts[part.topic, part.partition] += len(part)
        return [Output(self.out, part.partition, part.keys, part.values, part.headers)]

    def open(self, topic: str, partition: int, next_offset: int, state: bytes | None) -> None:
        self.counts[topic, partition] = int(state or b"0")
        self.opened.append((partition, next_offset, self.counts[topic, partition]))

    def close(self, topic: str, partition: int) -> None:
        self.counts.pop((topic, partition), None)

    def flush(self, topic: str, partition: int, *, leaving: bool) -> list[Output]:
        return []

    def snapshot(self, topic: str, partition: int) -> bytes | None:
        return str(self.counts[topic, partition]).encode()


def options(client: dict[str, object], prefix: str, delivery: str = "exactly-once") -> PipelineOptions:
    """Options with timeouts short enough for tests."""
    return PipelineOptions(
        service="echo",
        topics=(f"{prefix}in",),
        group=f"{prefix}echo",
        delivery=delivery,  # type: ignore[arg-type]
        client=client,
        outputs=(f"{prefix}out",),
        state_topic=f"{prefix}state",
        session_timeout=6.0,
        rebalance_timeout=6.0,
        heartbeat_interval=1.0,
    )


async def _main(bootstrap: str, prefix: str, delivery: str, deadline: str = "15") -> None:
    logging.basicConfig(level="INFO", format="%(asctime)s %(process)d %(name)s %(message)s %(__dict__)s")
    pipeline_options = dataclasses.replace(
        options({"bootstrap_servers": bootstrap}, prefix, delivery), deadline=float(deadline)
    )
    with stop_on_signals() as stop:
        await Pipeline(Echo(f"{prefix}out"), pipeline_options, PipelineMetrics(CollectorRegistry())).run(stop)


if __name__ == "__main__":
    sys.exit(run(lambda: _main(*sys.argv[1:])))
