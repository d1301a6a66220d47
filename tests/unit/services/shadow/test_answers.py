"""The champion's predictions as columns: the short way gives what the long one does, or is not taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from services.shadow import answers as reading
from services.shadow.answers import read_answers
from services.shadow.sides import Names
from tests.unit.services.shadow.harness import NOW, answer, records

ALIKE = [answer(i, i / 10, label=["no", "yes", None][i % 3], scored_at=NOW + i) for i in range(9)]
OTHERS = {
    "all of one champion": [],
    "a canary": [answer(9, 0.5, version="2", canary=True)],
    "instead of a canary": [answer(9, 0.5, instead_of="2")],
    "a new champion": [answer(9, 0.5, version="1b"), answer(10, 0.5, version="1b")],
    "another model": [answer(9, 0.5, model="other")],
    "another partition": [answer(9, 0.5, partition=1)],
    "no JSON": [b"{"],
    "a tombstone": [None],
}


def read(values: list[Any]) -> tuple[dict[str, Any], int, list[Any]]:
    names = Names()
    found = read_answers(records("predictions", values), "events", names)
    columns = {name: getattr(found.answered, name).tolist() for name in found.answered.__struct_fields__}
    for name in ("models", "versions", "labels"):
        columns[name] = [names.known[code] if code >= 0 else None for code in columns[name]]
    columns["canary"] = [code and (code == 1 or names.known[code - 2]) for code in columns["canary"]]
    return columns, found.answered_to, [(at, str(error)) for at, error in found.refused]


@pytest.mark.parametrize("others", OTHERS)
@pytest.mark.parametrize("in_front", [False, True])
def test_both_ways_say_the_same(others: str, in_front: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [*OTHERS[others], *ALIKE] if in_front else [*ALIKE, *OTHERS[others]]
    short = read(values)
    taken = reading._of_one_version(records("predictions", values), "events", Names())
    assert (taken is not None) == (others == "all of one champion")
    monkeypatch.setattr(reading, "_of_one_version", lambda *_: None)
    assert read(values) == short
    assert len(short[0]["offsets"]) + len(short[2]) == len(values)
    assert np.isin(range(9), short[0]["offsets"]).all()
