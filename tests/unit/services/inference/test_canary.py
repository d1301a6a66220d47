"""A candidate answers its share of the traffic, and the champion whatever it cannot."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import msgspec
import numpy as np
import pytest

from shared.bundle.spec import FeatureSpec
from shared.dead_letters import read_dead_letter
from shared.kafka.records import Output
from shared.serving.models import Canary, ServedModel
from tests.models import linear, numeric_spec, table, table_spec, write_bundle
from tests.unit.services.inference.test_process import Harness, event, harness, predictions, records

__all__ = ["harness"]

KEYS = [f"N{number}".encode() for number in range(400)]


def splitmix(key: bytes, model: str, salt: int) -> float:
    """The documented hash, in plain integers."""
    mask = (1 << 64) - 1
    state = ((crc32(key, crc32(model.encode())) | salt << 32) + 0x9E3779B97F4A7C15) & mask
    state = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ state >> 27) * 0x94D049BB133111EB) & mask
    return ((state ^ state >> 31) >> 11) / (1 << 53)


def let(harness: Harness, share: float, bundle_name: str = "canary") -> None:
    bundle = write_bundle(
        harness.tmp_path / bundle_name,
        linear(3, bias=3.0),
        numeric_spec(3, version="2"),
    )
    model = ServedModel.load(bundle, max_event_bytes=1 << 20, threads=1)
    harness.served.set_canary("demo", Canary(model, share))


def run(harness: Harness, values: list[bytes | None], keys: list[bytes]) -> dict[str, Output]:
    (outputs,) = harness.run(records(0, values, keys=keys))
    return outputs


def test_the_share_is_answered_by_the_candidate_and_says_so(harness: Harness) -> None:
    let(harness, 0.2)
    found = predictions(run(harness, [event(f"e{i}") for i in range(400)], KEYS))
    assert [p.event_id for p in found] == [f"e{i}" for i in range(400)], "order within the partition"
    expected = [splitmix(key, "demo", 1) < 0.2 for key in KEYS]
    assert [p.canary for p in found] == expected
    assert 60 <= sum(expected) <= 100
    assert {(p.canary, p.model_version) for p in found} == {(False, "1"), (True, "2")}


def test_a_larger_share_keeps_the_keys_of_a_smaller_one(harness: Harness) -> None:
    answered = []
    for name, share in (("a", 0.1), ("b", 0.5), ("c", 1.0)):
        let(harness, share, name)
        found = predictions(run(harness, [event(f"e{i}") for i in range(400)], KEYS))
        answered.append({p.event_id for p in found if p.canary})
    assert answered[0] < answered[1] < answered[2]
    assert len(answered[2]) == 400


def test_what_the_candidate_refuses_the_champion_answers(harness: Harness) -> None:
    narrow = tuple(FeatureSpec(name=f"f{i}", min=-5, max=5) for i in range(3))
    spec = msgspec.structs.replace(numeric_spec(3, version="2"), features=narrow)
    candidate = write_bundle(harness.tmp_path / "narrow", linear(3), spec)
    model = ServedModel.load(candidate, max_event_bytes=1 << 20, threads=1)
    harness.served.set_canary("demo", Canary(model, 1.0))
    wide = event("wide", features={"f0": 100, "f1": 0, "f2": 0})
    outputs = run(harness, [event("a"), wide, b"{", event("b")], [b"k"] * 4)
    assert [(p.event_id, p.canary, p.instead_of) for p in predictions(outputs)] == [
        ("a", True, None), ("wide", False, "2"), ("b", True, None),
    ]  # fmt: skip
    assert outputs["dead-letters"].values == [b"{"]


def test_what_the_candidate_fails_on_the_champion_answers(harness: Harness) -> None:
    good = write_bundle(harness.tmp_path / "t1", table([0.0, 1.0, 2.0, 3.0]), table_spec(4, version="1"))
    small = write_bundle(harness.tmp_path / "t2", table([10.0, 11.0]), table_spec(2, version="2"))
    champion, candidate = (
        ServedModel.load(bundle, max_event_bytes=1 << 20, threads=1) for bundle in (good, small)
    )
    harness.served.current = {"table": champion}
    harness.served.set_canary("table", Canary(candidate, 1.0))
    values = [event(str(row), features={"row": row}) for row in (1, 3, 0, 9)]
    outputs = run(harness, values, [b"k"] * 4)
    assert [(p.event_id, p.score, p.canary, p.instead_of) for p in predictions(outputs)] == [
        ("1", 11.0, True, None), ("3", 3.0, False, "2"), ("0", 10.0, True, None),
    ]  # fmt: skip
    assert outputs["dead-letters"].values == [values[3]]


def test_declared_segments_travel_with_the_prediction(harness: Harness) -> None:
    features = (
        FeatureSpec(name="f0"),
        FeatureSpec(name="carrier", kind="categorical", categories=("AA", "UA")),
        FeatureSpec(name="f2", nullable=True),
    )
    spec = numeric_spec(3, version="3", segments=("carrier", "f2"))
    spec = msgspec.structs.replace(spec, features=features)
    bundle = write_bundle(harness.tmp_path / "segments", linear(3), spec)
    harness.served.swap(ServedModel.load(bundle, max_event_bytes=1 << 20, threads=1))
    values = [
        event("a", features={"f0": 1, "carrier": "UA", "f2": 2.5}),
        event("b", features={"f0": 1, "carrier": "AA", "f2": -3}),
    ]
    found = predictions(run(harness, values, [b"k"] * 2))
    assert [p.segments for p in found] == [{"carrier": "UA", "f2": "2.5"}, {"carrier": "AA", "f2": "-3"}]


@pytest.mark.parametrize("purpose", ["canary", "sample"])
def test_the_hash_is_the_documented_one(purpose: str) -> None:
    from shared.serving.share import in_share

    expected = [splitmix(key, "m", {"canary": 1, "sample": 2}[purpose]) < 0.3 for key in KEYS]
    assert in_share(0.3, purpose, "m", KEYS, [b""] * 400).tolist() == expected  # type: ignore[arg-type]


def test_a_champion_of_another_shape_fails_like_any_other_model(harness: Harness) -> None:
    class Session:
        def run(self, outputs: list[str], inputs: dict[str, Any]) -> list[Any]:
            (matrix,) = inputs.values()
            return [np.zeros((len(matrix), 3), dtype=np.float32)]

    harness.served.current["demo"].scorer._session = Session()
    outputs = run(harness, [event("a"), event("b")], [b"k"] * 2)
    letters = outputs["dead-letters"].headers or ()
    assert [read.error for headers in letters if (read := read_dead_letter(headers))] == ["ProcessError"] * 2
    assert "an array of shape (1, 3)" in dict(letters[0])["driftline-message"].decode()  # type: ignore[union-attr]
