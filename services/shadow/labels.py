"""Labelled events in, reports beside the truth out: pure, without Kafka, clock or environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from services.shadow.judged import JudgedCell, Tally
from services.shadow.judging import pairs
from services.shadow.sides import decode_array, encode_array
from shared.bounded import Counter
from shared.bundle.spec import ModelSpec
from shared.errors import DecodeError, ServiceError
from shared.kafka.records import Output, Records
from shared.messages import Labelled
from shared.messages.common import NOT_JSON
from shared.metrics import PipelineMetrics
from shared.reports import reports_output
from shared.serving.letters import dead_letters
from shared.topics import TopicNames

SERVICE = "shadow"
_CellKey = tuple[str, str, str, int, int]
"""Model, candidate, champion, start of the window and basis."""


class _State(msgspec.Struct):
    """What survives of one partition; ``watermarks`` by model."""

    watermarks: dict[str, int] = {}
    cells: list[JudgedCell] = []


_decode = msgspec.json.Decoder(Labelled).decode
_encode_state = msgspec.msgpack.Encoder(enc_hook=encode_array).encode
_decode_state = msgspec.msgpack.Decoder(_State, dec_hook=decode_array).decode


@dataclass(slots=True)
class Work:
    """One micro-batch: by partition, position and message of each good record, and the refused ones."""

    batch: Sequence[Records]
    messages: list[list[tuple[int, Labelled]]] = field(default_factory=list)
    refused: list[list[tuple[int, ServiceError]]] = field(default_factory=list)


class _Partition:
    """The open windows of one partition."""

    def __init__(self, topic: str, partition: int, next_offset: int, state: bytes | None) -> None:
        self.topic = topic
        self.partition = partition
        self.next_offset = next_offset
        restored = _decode_state(state) if state else _State()
        self.watermarks = restored.watermarks
        self.cells: dict[_CellKey, JudgedCell] = {
            (c.model, c.version, c.champion, c.start, c.basis): c for c in restored.cells
        }
        self.dirty = set(self.cells)

    def count(self, labelled: Labelled, spec: ModelSpec, offset: int) -> None:
        """Count what a message says, and take back what it replaces."""
        if labelled.replaces is not None:
            self._add(labelled.replaces, spec, offset, sign=-1)
        self._add(labelled, spec, offset, sign=1)

    def _add(self, labelled: Labelled, spec: ModelSpec, offset: int, *, sign: int) -> None:
        window = spec.window * 1000
        watermark = max(self.watermarks.get(spec.name, 0), labelled.observed_at)
        self.watermarks[spec.name] = watermark
        newest = watermark - watermark % window
        start = labelled.observed_at - labelled.observed_at % window
        if start < newest - window:
            start = newest  # its own window is closed; the sum over windows is right all the same
        for pair in pairs(labelled, spec):
            key = (pair.model, pair.version, pair.champion, start, pair.basis)
            cell = self.cells.get(key)
            if cell is None:
                cell = self.cells[key] = JudgedCell(*key[:4], window, offset, Tally(), basis=pair.basis)
            cell.add(pair, sign, offset)
            self.dirty.add(key)

    def reports(self, topic: str, now: int, *, only_closed: bool = False) -> Output | None:
        """Return the windows that changed or are closed; the latter go."""
        due = []
        for key in sorted(self.cells):
            cell = self.cells[key]
            watermark = self.watermarks[cell.model]
            final = cell.start < watermark - watermark % cell.window - cell.window
            if final:
                del self.cells[key]
            if final or (key in self.dirty and not only_closed):
                self.dirty.discard(key)
                due.append(
                    cell.report(
                        source_topic=self.topic,
                        partition=self.partition,
                        next_offset=self.next_offset,
                        written_at=now,
                        final=final,
                    )
                )
        return reports_output(topic, self.partition, due) if due else None


class LabelStep:
    """Compares answers beside their labels; see :class:`shared.pipeline.step.Step`.

    Parameters
    ----------
    specs
        Returns the contract of any version of each model: task and classes are the same in all.
    passed_over
        Counts, by model, the labelled events of models that have no contract here.
    """

    def __init__(
        self,
        specs: Callable[[], Mapping[str, ModelSpec]],
        topics: TopicNames,
        metrics: PipelineMetrics,
        *,
        clock: Callable[[], int],
        report_interval: int = 5_000,
        passed_over: Counter | None = None,
    ) -> None:
        self._specs = specs
        self._topics = topics
        self._metrics = metrics
        self._clock = clock
        self._report_interval = report_interval
        self._passed_over = passed_over
        self._partitions: dict[int, _Partition] = {}
        self._next_report: dict[int, int] = {}

    def open(self, topic: str, partition: int, next_offset: int, state: bytes | None) -> None:
        """Take over a partition with the windows last committed for it."""
        self._partitions[partition] = _Partition(topic, partition, next_offset, state)
        self._next_report[partition] = self._clock() + self._report_interval

    def close(self, topic: str, partition: int) -> None:
        """Forget a partition."""
        self._partitions.pop(partition, None)

    def snapshot(self, topic: str, partition: int) -> bytes:
        """Return the partition's open windows."""
        held = self._partitions[partition]
        return _encode_state(_State(held.watermarks, list(held.cells.values())))

    def decode(self, batch: Sequence[Records]) -> Work:
        """Decode every record; what is no labelled event is refused."""
        work = Work(batch)
        for part in batch:
            good: list[tuple[int, Labelled]] = []
            refused: list[tuple[int, ServiceError]] = []
            for position, value in enumerate(part.values):
                try:
                    good.append((position, _decode(value or b"")))
                except NOT_JSON as error:
                    refused.append((position, DecodeError(f"the value is no labelled event: {error}")))
            work.messages.append(good)
            work.refused.append(refused)
        return work

    def compute(self, work: Work) -> None:
        """There is nothing heavy to do."""

    def encode(self, work: Work, index: int) -> list[Output]:
        """Count the partition's labelled events; return what was refused."""
        part, held, now = work.batch[index], self._partitions[work.batch[index].partition], self._clock()
        specs = self._specs()
        for position, labelled in work.messages[index]:
            spec = specs.get(labelled.model)
            if spec is not None:
                held.count(labelled, spec, part.offsets[position])
            elif self._passed_over is not None:
                self._passed_over.labels(labelled.model).inc()
        held.next_offset = part.next_offset
        outputs = []
        if work.refused[index]:
            for _, error in work.refused[index]:
                self._metrics.dead_letters.labels(type(error).__name__).inc()
            refused = work.refused[index]
            outputs.append(dead_letters(self._topics.dead_letters, part, refused, service=SERVICE, now=now))
        closed = held.reports(self._topics.reports, now, only_closed=True)
        return outputs if closed is None else [*outputs, closed]

    def flush(self, topic: str, partition: int, *, leaving: bool = False) -> list[Output]:
        """Return the reports that are due, all that changed when ``leaving``."""
        now = self._clock()
        if now < self._next_report[partition] and not leaving:
            return []
        self._next_report[partition] = now + self._report_interval
        output = self._partitions[partition].reports(self._topics.reports, now)
        return [] if output is None else [output]
