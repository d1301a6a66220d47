"""The champion's predictions as columns; of their JSON only what a comparison needs is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any, Literal

import msgspec
import numpy as np

from services.shadow.sides import FALLBACK, Answered, Ints, Names
from shared.errors import DecodeError, ServiceError, ValidationError
from shared.kafka.records import Records
from shared.messages.common import NOT_JSON, EpochMs, Offset, Score


class _Source(msgspec.Struct, gc=False):
    topic: str
    partition: int
    offset: Offset


class _Prediction(msgspec.Struct, gc=False):
    """What is read of a prediction."""

    model: str
    model_version: str
    score: Score
    scored_at: EpochMs
    source: _Source
    label: str | None = None
    canary: bool = False
    instead_of: str | None = None


_decode = msgspec.json.Decoder(_Prediction).decode
_Decoder = Callable[[bytes], Any]


@lru_cache(maxsize=1_000)
def _decoder_of(topic: str, partition: int, model: str | None = None, version: str | None = None) -> _Decoder:
    """Return a decoder that takes only answers to the events of one partition: the check is done in C.

    With a model and version it takes only what that version answered as champion, so that nothing
    has to be asked of each prediction but what it says.
    """
    source = msgspec.defstruct(
        "source", [("topic", Literal[topic]), ("partition", Literal[partition]), ("offset", Offset)], gc=False
    )
    fields: list[Any] = [("score", Score), ("scored_at", EpochMs), ("source", source)]
    optional: list[Any] = [("label", str | None, None)]
    if model is None:
        fields += [("model", str), ("model_version", str)]
        optional += [("canary", bool, False), ("instead_of", str | None, None)]
    else:
        fields += [("model", Literal[model]), ("model_version", Literal[version])]
        optional += [("canary", Literal[False], False), ("instead_of", None, None)]
    return msgspec.json.Decoder(msgspec.defstruct("prediction", [*fields, *optional], gc=False)).decode


_canary, _instead_of = attrgetter("canary"), attrgetter("instead_of")
_offset, _model, _version = attrgetter("source.offset"), attrgetter("model"), attrgetter("model_version")
_label, _score, _scored_at = attrgetter("label"), attrgetter("score"), attrgetter("scored_at")


@dataclass(slots=True)
class Answers:
    """The predictions of one stretch of one partition.

    Attributes
    ----------
    answered_to
        One past the highest offset that was answered; 0 where there is no answer.
    refused
        Position and error of each record that is no prediction of this partition's events.
    """

    answered: Answered
    answered_to: int
    refused: list[tuple[int, ServiceError]]


def read_answers(records: Records, topic: str, names: Names) -> Answers:
    """Return the answers in consecutive records of the predictions.

    Parameters
    ----------
    topic
        The topic of the events: answers to another one's are refused.
    names
        Codes of models, versions and labels; new ones are added.
    """
    alike = _of_one_version(records, topic, names)
    if alike is not None:
        return alike
    refused: list[tuple[int, ServiceError]] = []
    try:
        predictions: list[Any] = list(map(_decoder_of(topic, records.partition), records.values))  # type: ignore[arg-type]
    except (*NOT_JSON, TypeError):
        predictions, refused = _one_by_one(records, topic)
    if not predictions:
        return Answers(Answered.none(), 0, refused)
    models, versions = (names.codes(list(map(get, predictions))) for get in (_model, _version))
    return _as_columns(predictions, names, models, versions, _canaries(predictions, names), refused)


def _of_one_version(records: Records, topic: str, names: Names) -> Answers | None:
    """Return the answers where all of them are those of one champion, as they are as a rule; else None."""
    try:
        first = _decode(records.values[0] or b"") if records.values else None
        if first is None or first.canary or first.instead_of is not None:
            return None
        decode = _decoder_of(topic, records.partition, first.model, first.model_version)
        predictions: list[Any] = list(map(decode, records.values))  # type: ignore[arg-type]
    except (*NOT_JSON, TypeError):
        return None
    count = len(predictions)
    model, version = (np.full(count, names.code(name)) for name in (first.model, first.model_version))
    return _as_columns(predictions, names, model, version, np.zeros(count, dtype=np.int64), [])


def _as_columns(
    predictions: list[Any],
    names: Names,
    models: Ints,
    versions: Ints,
    canaries: Ints,
    refused: list[tuple[int, ServiceError]],
) -> Answers:
    count = len(predictions)
    offsets = np.fromiter(map(_offset, predictions), np.int64, count)
    answered = Answered(
        offsets,
        models,
        versions,
        names.codes(list(map(_label, predictions))),
        np.fromiter(map(_score, predictions), np.float64, count),
        np.fromiter(map(_scored_at, predictions), np.int64, count),
        canaries,
    )
    return Answers(answered, int(offsets.max()) + 1, refused)


def _canaries(predictions: list[Any], names: Names) -> Ints:
    """Return for each prediction what a canary had to do with it; see :attr:`Answered.canary`."""
    told = np.fromiter(map(_canary, predictions), np.int64, len(predictions))
    failed = list(map(_instead_of, predictions))
    if any(failed):
        told += [0 if version is None else FALLBACK + names.code(version) for version in failed]
    return told


def _one_by_one(records: Records, topic: str) -> tuple[list[_Prediction], list[tuple[int, ServiceError]]]:
    good: list[_Prediction] = []
    refused: list[tuple[int, ServiceError]] = []
    for position, value in enumerate(records.values):
        try:
            prediction = _decode(value or b"")
        except NOT_JSON as error:
            refused.append((position, DecodeError(f"the value is no prediction: {error}")))
            continue
        source = prediction.source
        if (source.topic, source.partition) == (topic, records.partition):
            good.append(prediction)
        else:
            text = f"source is {source.topic}[{source.partition}], expected {topic}[{records.partition}]"
            refused.append((position, ValidationError(text, field="source")))
    return good, refused
