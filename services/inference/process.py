"""Events in, predictions and dead letters out: pure, without Kafka, clock or environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from services.inference.metrics import InferenceMetrics
from services.inference.reports import UNROUTED, CountedAs, PartitionReports
from shared.errors import ServiceError
from shared.kafka.records import Output, Records
from shared.logs import get_logger
from shared.messages import Prediction, Source
from shared.reports import reports_output
from shared.scoring.events import DecodedEvents
from shared.scoring.scorer import Scores
from shared.serving.letters import dead_letters
from shared.serving.models import Canary, ServedModel, ServedModels
from shared.serving.routing import Micro, decode_rows, route
from shared.serving.share import in_share
from shared.topics import TopicNames

log = get_logger(__name__)

SERVICE = "inference"

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Group:
    """The rows of a micro-batch that one model scores.

    Attributes
    ----------
    rows
        Position in the micro-batch of each good event, ascending.
    payloads
        The prediction of each good event, encoded.
    champion
        Who answers where ``model``, a canary, cannot; ``None`` for the champion itself.
    instead_of
        The canary whose events these are, where it could not answer them.
    """

    model: ServedModel
    decoded: DecodedEvents
    rows: npt.NDArray[np.intp]
    scores: Scores | None = None
    payloads: list[bytes] = field(default_factory=list)
    champion: ServedModel | None = None
    instead_of: str | None = None


@dataclass(slots=True)
class Share:
    """What one group has in one partition; ``rows`` count from the partition's first record."""

    model: ServedModel
    rows: npt.NDArray[np.intp]
    occurred_at: npt.NDArray[np.int64]
    scores: npt.NDArray[np.floating[Any]]

    @classmethod
    def of(cls, group: Group, low: int, high: int) -> Share:
        """Return the part of ``group`` that lies in the rows ``low`` to ``high``."""
        assert group.scores is not None
        first, last = np.searchsorted(group.rows, (low, high)).tolist()
        return cls(
            group.model,
            group.rows[first:last] - low,
            np.array(group.decoded.occurred_at[first:last], dtype=np.int64),
            group.scores.score[first:last],
        )


@dataclass(slots=True)
class Work:
    """One micro-batch on its way through.

    Attributes
    ----------
    rejected
        Error and, where it is known, model of each refused row.
    scored_at
        Epoch milliseconds.
    """

    micro: Micro
    groups: list[Group]
    rejected: dict[int, tuple[ServiceError, ServedModel | None]]
    scored_at: int = 0


class InferenceStep:
    """Scores micro-batches; see :class:`shared.pipeline.step.Step` for the order of the calls.

    Parameters
    ----------
    models
        The served models; each micro-batch uses the versions current when it was decoded.
    topics
        Names of the topics to produce to.
    clock
        Returns epoch milliseconds.
    report_interval
        Milliseconds between two reports of a window that is still open.
    max_future
        Milliseconds by which ``occurred_at`` may lie after the record's own timestamp: a clock gone
        wrong must not close every window.
    """

    def __init__(
        self,
        models: ServedModels,
        topics: TopicNames,
        metrics: InferenceMetrics,
        *,
        clock: Callable[[], int],
        report_interval: int = 5_000,
        max_future: int = 86_400_000,
    ) -> None:
        self._models = models
        self._topics = topics
        self._metrics = metrics
        self._clock = clock
        self._report_interval = report_interval
        self._max_future = max_future
        self._reports: dict[tuple[str, int], PartitionReports] = {}
        self._next_offsets: dict[tuple[str, int], int] = {}
        self._next_report: dict[tuple[str, int], int] = {}
        self._answering: dict[tuple[str, int, str], str] = {}

    def open(self, topic: str, partition: int, next_offset: int, state: bytes | None) -> None:
        """Take over a partition with the windows last committed for it."""
        self._reports[topic, partition] = PartitionReports(topic, partition, state)
        self._next_offsets[topic, partition] = next_offset
        self._next_report[topic, partition] = self._clock() + self._report_interval

    def close(self, topic: str, partition: int) -> None:
        """Forget a partition; whoever comes back to it says again which version answers from where."""
        self._reports.pop((topic, partition), None)
        for key in [key for key in self._answering if key[:2] == (topic, partition)]:
            del self._answering[key]

    def snapshot(self, topic: str, partition: int) -> bytes | None:
        """Return the partition's open windows."""
        return self._reports[topic, partition].snapshot()

    def decode(self, batch: Sequence[Records]) -> Work:
        """Route every record to its model and decode it there."""
        micro = Micro.of(batch)
        models, canaries = self._models.current, self._models.canaries
        routes = route(micro.values, models)
        work = Work(micro, [], {row: (error, None) for row, error in routes.rejected.items()})
        for name, rows in routes.rows.items():
            if name in canaries:
                rows, refused = self._decode_canary(work, canaries[name], rows)  # noqa: PLW2901
                self._decode_group(work, models[name], refused, instead_of=canaries[name].model.version)
            self._decode_group(work, models[name], rows)
        return work

    def _decode_canary(
        self, work: Work, canary: Canary, rows: list[int] | None
    ) -> tuple[list[int], list[int]]:
        """Give the canary its share of the rows; return the champion's, and those that the canary refuses."""
        values, keys = work.micro.values, work.micro.keys()
        every = range(len(values)) if rows is None else rows
        name = canary.model.name
        chosen = in_share(
            canary.share, "canary", name, [keys[row] for row in every], [values[row] for row in every]
        ).tolist()
        mine = [row for row, hit in zip(every, chosen, strict=True) if hit]
        decoded, kept, refused = decode_rows(
            canary.model.decoder, work.micro, mine, max_future=self._max_future
        )
        if len(decoded):
            work.groups.append(Group(canary.model, decoded, kept, champion=self._models.current[name]))
        others = [row for row, hit in zip(every, chosen, strict=True) if not hit]
        return others, sorted(refused)  # what the canary refuses is for the champion to judge

    def _decode_group(
        self, work: Work, model: ServedModel, rows: list[int] | None, *, instead_of: str | None = None
    ) -> None:
        if rows is not None and not rows:
            return
        decoded, kept, refused = decode_rows(model.decoder, work.micro, rows, max_future=self._max_future)
        for row, error in refused.items():
            work.rejected[row] = (error, model)
        if len(decoded):
            work.groups.append(Group(model, decoded, kept, instead_of=instead_of))

    def compute(self, work: Work) -> None:
        """Score every group with one call each, and encode the predictions."""
        for group in work.groups:  # grows by the rows that a canary could not answer
            group.scores = group.model.scorer.predict(group.decoded.features)
            if group.champion is not None and group.scores.failed:
                failed = [int(group.rows[row]) for row in group.scores.failed]
                _without_failed(group)
                self._decode_group(work, group.champion, failed, instead_of=group.model.version)
        work.scored_at = self._clock()
        for group in work.groups:
            self._encode_group(work, group)

    def _encode_group(self, work: Work, group: Group) -> None:
        assert group.scores is not None
        for row, error in group.scores.failed.items():
            work.rejected[int(group.rows[row])] = (error, group.model)
        _without_failed(group)
        scores, decoded = group.scores, group.decoded
        spec = group.model.spec
        told: list[Any] = [] if group.instead_of is None else [repeat(0), repeat(group.instead_of)]
        group.payloads = list(
            map(
                _encode,
                map(
                    Prediction,
                    decoded.event_ids,
                    repeat(spec.name),
                    repeat(spec.version),
                    scores.score.tolist(),
                    decoded.occurred_at,
                    repeat(work.scored_at),
                    self._sources(work, group),
                    decoded.entity_ids,
                    scores.labels(spec),
                    scores.probabilities_by_label(spec),
                    group.model.segments(decoded.features, len(decoded)),
                    repeat(group.champion is not None),
                    *told,
                ),
            )
        )

    def _sources(self, work: Work, group: Group) -> Sequence[Source]:
        batch = work.micro.batch
        parts = (map(Source, repeat(p.topic), repeat(p.partition), p.offsets) for p in batch)
        sources = list(chain.from_iterable(parts))
        return sources if len(group.rows) == len(sources) else [sources[row] for row in group.rows.tolist()]

    def encode(self, work: Work, index: int) -> list[Output]:
        """Return the partition's predictions and dead letters, in the order of its events."""
        part = work.micro.batch[index]
        low, high = work.micro.bounds[index], work.micro.bounds[index + 1]
        outputs = [self._predictions(work, part, low, high)]
        bad = sorted(row for row in work.rejected if low <= row < high) if work.rejected else []
        if bad:
            outputs.append(self._letters(work, part, low, bad))
        self._account(work, part, low, high, bad)
        self._next_offsets[part.topic, part.partition] = part.next_offset
        return outputs

    def _letters(self, work: Work, part: Records, low: int, bad: list[int]) -> Output:
        refused = [(row - low, work.rejected[row][0]) for row in bad]
        models = {row - low: model.name for row in bad if (model := work.rejected[row][1]) is not None}
        letters = self._topics.dead_letters
        return dead_letters(letters, part, refused, service=SERVICE, now=work.scored_at, models=models)

    def _predictions(self, work: Work, part: Records, low: int, high: int) -> Output:
        whole = len(work.groups) == 1 and not work.rejected
        if whole:
            payloads, keys, headers = work.groups[0].payloads[low:high], part.keys, part.headers
        else:
            by_row: list[tuple[int, bytes]] = []
            for group in work.groups:
                first, last = np.searchsorted(group.rows, (low, high)).tolist()
                by_row += zip(group.rows[first:last].tolist(), group.payloads[first:last], strict=True)
            by_row.sort()
            payloads = [payload for _, payload in by_row]
            keys = [part.keys[row - low] for row, _ in by_row]
            headers = [part.headers[row - low] for row, _ in by_row]
        return Output(
            self._topics.predictions, part.partition, keys, payloads, headers if any(headers) else None
        )

    def _account(self, work: Work, part: Records, low: int, high: int, bad: list[int]) -> None:
        """Count the partition's rows into its windows and the metrics."""
        reports = self._reports[part.topic, part.partition]
        shares = [share for group in work.groups if len((share := Share.of(group, low, high)).rows)]
        occurred_at = np.full(high - low, -1, dtype=np.int64)
        times = work.micro.timestamps[low:high]
        for share in shares:  # a clock that is ahead must not close the windows of the others
            occurred_at[share.rows] = np.minimum(share.occurred_at, times[share.rows])
        watermarks = reports.advance(occurred_at)
        for row in bad:
            error, model = work.rejected[row]
            reason = error.reason
            reports.count_error(
                CountedAs.of(model.spec) if model is not None else UNROUTED,
                reason,
                offset=part.offsets[row - low],
                watermark=int(watermarks[row - low]),
            )
            self._metrics.dead_letters.labels(reason).inc()
        if watermarks[-1] >= 0:
            reports.settle_early(int(watermarks[watermarks >= 0][0]))
        offsets = np.array(part.offsets, dtype=np.int64)
        for share in shares:
            latencies = (work.scored_at - times[share.rows]) / 1000
            self._note_version(share.model, part, int(offsets[share.rows[0]]))
            reports.count(
                CountedAs.of(share.model.spec),
                offsets=offsets[share.rows],
                occurred_at=share.occurred_at,
                watermarks=watermarks[share.rows],
                scores=share.scores,
                latencies=latencies,
            )
            self._metrics.predictions.labels(share.model.name).inc(len(share.rows))
            self._metrics.latency.observe(latencies)

    def _note_version(self, model: ServedModel, part: Records, offset: int) -> None:
        """Record the first offset a new version answers in a partition."""
        key = (part.topic, part.partition, model.name)
        if self._answering.get(key) != model.version:
            self._answering[key] = model.version
            log.info(
                "model version answers from here",
                model=model.name,
                model_version=model.version,
                topic=part.topic,
                partition=part.partition,
                offset=offset,
            )

    def flush(self, topic: str, partition: int, *, leaving: bool = False) -> list[Output]:
        """Return the reports that are due, all that changed when ``leaving``."""
        now = self._clock()
        if now < self._next_report[topic, partition] and not leaving:
            return []
        self._next_report[topic, partition] = now + self._report_interval
        next_offset = self._next_offsets[topic, partition]
        reports = list(self._reports[topic, partition].due(next_offset, now))
        return [reports_output(self._topics.reports, partition, reports)] if reports else []


def _without_failed(group: Group) -> None:
    """Keep only the rows that the model answered."""
    scores = group.scores
    if scores is None or not scores.failed:
        return
    good = [row for row in range(len(group.decoded)) if row not in scores.failed]
    group.decoded = group.decoded.select(good)
    group.rows = group.rows[good]
    group.scores = scores.select(good)
