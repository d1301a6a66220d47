"""Two models in one process that names none: each event goes to its own, over a restart too."""

from __future__ import annotations

import getpass
from typing import Any

import msgspec
import pytest

from shared.bundle.spec import FeatureSpec
from shared.dead_letters import read_dead_letter
from shared.messages import Prediction
from tests.integration.inference.conftest import Stage
from tests.models import linear, numeric_spec, table, table_spec, write_bundle
from tests.processes import ServiceProcess, service
from tests.streams import produce, read_all, until

pytestmark = pytest.mark.kafka

_VALUES = [float(number) for number in range(200_000)]
"""A large model, which is loaded more slowly than the other."""


def event(number: int, model: str, **features: Any) -> bytes:
    return msgspec.json.encode(
        {
            "event_id": f"{model}-{number}",
            "occurred_at": 1_700_000_000_000 + number,
            "model": model,
            "features": features,
        }
    )


def good(first: int, count: int) -> list[tuple[int, bytes]]:
    """Events of both models in turn, two and two in the same partition."""
    numbers = range(first, first + count)
    demo = {number: event(number, "demo", f0=1, kind="b") for number in numbers if number % 2}
    return [(number // 2 % 3, demo.get(number) or event(number, "table", row=number)) for number in numbers]


async def publish(stage: Stage) -> None:
    kind = FeatureSpec(name="kind", kind="categorical", categories=("a", "b"))
    spec = numeric_spec(1, name="demo")
    spec = msgspec.structs.replace(spec, features=(*spec.features, kind))
    for bundle in (
        write_bundle(stage.folder / "demo", linear(2), spec),
        write_bundle(stage.folder / "table", table(_VALUES), table_spec(len(_VALUES))),
    ):
        await stage.registry.register(bundle.path, who=getpass.getuser(), why="test")
        await stage.registry.promote(bundle.spec.name, "1", who=getpass.getuser(), why="test")


async def done(stage: Stage, inference: ServiceProcess, count: int) -> None:
    await inference.ready()

    async def all_committed() -> bool:
        return await stage.committed() == count

    await until(all_committed, what=f"{count} events committed")


async def test_each_event_goes_to_its_model_and_a_restart_refuses_none(stage: Stage) -> None:
    del stage.settings["DRIFTLINE_MODELS"]
    await publish(stage)
    first, later = good(0, 30), good(30, 30)
    bad = [
        (0, event(90, "demo", f0=1, kind="c")),
        (0, event(91, "table", row=len(_VALUES))),
        (0, event(92, "nobody", f0=1)),
    ]
    await produce(stage.client, stage.topics.events, [*first[:10], *bad, *first[10:]])
    with service("inference", stage.folder, stage.settings) as inference:
        await done(stage, inference, 33)
        assert inference.part.stop() is None
    await produce(stage.client, stage.topics.events, later)
    with service("inference", stage.folder, stage.settings) as inference:
        await done(stage, inference, 63)
    found = await read_all(stage.client, stage.topics.predictions)
    for partition, records in found.items():
        answers = [msgspec.json.decode(record.value, type=Prediction) for record in records]
        sent = [msgspec.json.decode(value) for at, value in (*first, *later) if at == partition]
        assert [answer.event_id for answer in answers] == [each["event_id"] for each in sent]
        assert [answer.model for answer in answers] == [each["model"] for each in sent]
        rows = [each["features"].get("row") for each in sent]
        assert [a.score for a, row in zip(answers, rows, strict=True) if row is not None] == [
            row for row in rows if row is not None
        ]
    letters = (await read_all(stage.client, stage.topics.dead_letters))[0]
    reasons = [read_dead_letter(letter.headers) for letter in letters]
    assert [(reason.error, reason.field) for reason in reasons if reason] == [
        ("ValidationError", "features.kind"),
        ("ProcessError", None),
        ("ValidationError", "model"),
    ]
    assert [letter.value for letter in letters] == [value for _, value in bad]
