"""The soak: a page there is whatever happens, and what grows is said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults import soak
from tests.faults.catalogue import CATALOGUE, possible
from tests.faults.result import Result
from tests.faults.seen import ENDING, LOOKS, SURVIVABLE, Seen, Series
from tests.faults.soak_page import page


async def test_a_soak_that_breaks_off_is_a_violation_and_keeps_what_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def staged(*_: Any, **__: Any) -> AsyncIterator[None]:
        yield None

    async def endure(_: Any, seen: Seen, result: Result, __: float) -> None:
        seen.faults.append((1.0, "partition", None))
        result.events = 7
        raise RuntimeError("the traffic broke off")

    monkeypatch.setattr(soak, "staged", staged)
    monkeypatch.setattr(soak, "_endure", endure)
    servers: Any = SimpleNamespace(kafka=None, redis=None, topology="one")
    seen, result = await soak.soak(servers, tmp_path / "run", seconds=9, seed=1, services=("inference",))
    assert result.violations == ["it broke off: RuntimeError: the traffic broke off"]
    assert "RuntimeError" in (tmp_path / "run" / "events.jsonl").read_text()
    page(seen, result).write(tmp_path / "soak.html")
    html = (tmp_path / "soak.html").read_text()
    assert "the traffic broke off" in html
    assert "not in time" in html


def test_what_grows_is_said_and_what_warms_up_is_not() -> None:
    flat = Series(list(map(float, range(160))), [50.0] * 40 + [100.0] * 120, [20] * 160)
    assert flat.complaints("p") == []

    def growing(looks: int) -> Series:
        every = range(looks)
        return Series(list(map(float, every)), [100.0 + at / 2 for at in every], [20 + at for at in every])

    assert growing(160).complaints("p") == ["p: memory grew by 40 MiB, from 130", "p: 80 more open files"]
    assert growing(LOOKS - 1).complaints("p") == []
    assert set(Seen(processes={"a-1": growing(160), "a-2": growing(LOOKS - 1)}).growth()) == {"a-1"}


def test_its_faults_exist_and_need_no_particular_service() -> None:
    assert set(SURVIVABLE) | set(ENDING) <= set(CATALOGUE)
    assert all(possible(fault, ("alerting",)) for fault in (*SURVIVABLE, *ENDING))
