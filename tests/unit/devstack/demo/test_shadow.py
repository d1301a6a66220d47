"""The demo's newer versions: what is told of them, and what of it is not well."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from devstack.demo.contract import GATES
from devstack.demo.model import FlightModel
from devstack.demo.options import Options
from devstack.demo.recipes import CANDIDATE, CHAMPION, MISTAKE
from devstack.demo.shadow_verdict import settled, shadow_contribution
from devstack.demo.story import (
    APPEAR_AFTER,
    DECIDED_AFTER,
    MISTAKE_AFTER,
    POLL_SECONDS,
    introduce,
    prepare_challengers,
)
from devstack.demo.verdict import champion_contribution
from devstack.demo.watch import report_taker
from shared.messages import Comparison, DecisionReport, Judged, Message, ShadowReport, Window
from shared.reports import message_key
from tests.unit.devstack.demo.runs import finished_run

BETTER, WRONG = f"{CANDIDATE.name}-abc", f"{MISTAKE.name}-abc"


class Record(NamedTuple):
    key: bytes
    value: bytes


def record(report: Any) -> Record:
    return Record(message_key(report), msgspec.json.encode(report))


def decision(revision: int, kind: Any, version: str, other: str | None = None) -> Message:
    return DecisionReport(
        model="flights", model_version=version, window=Window(start=revision, end=revision),
        source_topic="registry", partition=0, first_offset=revision, next_offset=revision + 1,
        written_at=revision, final=True, decision=kind, other_version=other, revision=revision,
        who="gates", reason="because",
    )  # fmt: skip


def compared() -> Message:
    return ShadowReport(
        model="flights", model_version=BETTER, champion_version="v1", window=Window(start=0, end=1),
        source_topic="events", partition=0, first_offset=0, next_offset=9, written_at=1, final=True,
        comparison=Comparison(both=8, agreed=6), judged=Judged(pairs=8, wins=5, losses=3),
    )  # fmt: skip


def run_with(*reports: Message, good: int = 8, options: Options | None = None) -> Any:
    run = finished_run(options)
    run.challengers = [FlightModel(Path("x"), version, {}, fresh=False) for version in (BETTER, WRONG)]
    for one in reports:
        run.shadow.take(one)
    run.ledger.good = good
    return run


PROMOTED = decision(6, "promoted", BETTER, "v1")
NAMED = "brier: worse; segment carrier: is shown to be worse in carrier=UA"
REFUSED = msgspec.structs.replace(decision(5, "refused", WRONG), reason=NAMED)


def test_when_both_are_decided_about_the_last_line_says_so():
    run = run_with(compared(), REFUSED, PROMOTED, PROMOTED, good=DECIDED_AFTER)
    run.champion = BETTER
    found = shadow_contribution(run)
    assert found.facts == {"agreement": 0.75, "win_rate": 0.625, "promoted": BETTER, "refused": WRONG}
    assert found.problems == []
    assert found.remarks == [
        f"{BETTER} was promoted by the gates: because",
        f"{WRONG} was refused by the gates: {NAMED}",
    ]
    assert list(run.shadow.news) == [f"{WRONG} refused: {NAMED}", f"{BETTER} promoted: because"]
    assert settled(run)
    assert champion_contribution(run).problems == []


def test_a_refusal_that_names_no_segment_is_not_well():
    run = run_with(compared(), decision(5, "refused", WRONG), PROMOTED, good=DECIDED_AFTER)
    assert shadow_contribution(run).problems == [
        f"{WRONG} was refused without the name of a segment: because"
    ]


def test_a_run_that_was_long_enough_and_decided_nothing_is_not_well():
    run = run_with(good=DECIDED_AFTER)
    assert shadow_contribution(run).problems == [
        f"the better version {BETTER} was not promoted: nothing compares it with v1",
        f"the deliberately wrong version {WRONG} was not refused: nothing compares it with v1",
    ]
    assert not settled(run)


def test_a_run_that_was_too_short_waits_for_nothing_and_says_what_is_missing():
    run = run_with(good=APPEAR_AFTER)
    assert shadow_contribution(run).problems == []
    assert "two appear in the shadow" in shadow_contribution(run).remarks[0]
    assert settled(run)


def test_wrong_decisions_are_not_well_however_short_the_run():
    told = [
        decision(5, "promoted", WRONG, "v1"),
        decision(6, "rolled-back", WRONG, "v1"),
        decision(7, "refused", BETTER),
    ]
    run = run_with(*told)
    assert shadow_contribution(run).problems == [
        f"the deliberately wrong version {WRONG} was promoted",
        f"the better version {BETTER} was refused",
        f"{WRONG} was rolled back: because",
    ]
    assert run.shadow.champion("v1") == "v1"


def test_a_champion_that_nobody_was_told_of_is_not_well():
    run = run_with(good=8)
    run.champion = BETTER
    run.ledger.versions[BETTER] += 1
    assert champion_contribution(run).problems == [
        f"the registry's champion is {BETTER}, promoted was v1",
        f"versions that were never promoted answered: {BETTER}",
    ]


@pytest.mark.parametrize("value", [b"{", b'{"kind":"shadow"}'])
def test_what_is_no_report_is_passed_over(value):
    run = run_with()
    seen: list[Any] = []
    report_taker(run.shadow.take, seen.append)(Record(b"shadow/x", value), 0.0)
    assert run.shadow.of(BETTER, "v1") is None
    assert seen == []


def test_every_book_is_shown_every_report():
    run, seen = run_with(), []
    take = report_taker(run.quality.take, run.drift.take, run.shadow.take, seen.append)
    take(record(compared()), 0.0)
    assert seen == [compared()]
    assert run.shadow.of(BETTER, "v1") is not None


def test_newer_versions_are_made_only_for_runs_in_which_they_appear(year):
    assert prepare_challengers(year, Options(seconds=10)) == []
    assert CHAMPION.rows(year)["month"].max() == 3
    hours = MISTAKE.rows(year)
    assert hours["dep_delay"].max() < 24
    assert set(hours["month"]) == {5, 6}


async def test_the_mistake_appears_first_and_the_better_version_much_later(tmp_path):
    """A promotion begins every other comparison anew: the mistake has to be judged before."""
    run, over = run_with(), asyncio.Event()
    run.challengers = run.challengers[::-1]
    run.registry = registry = Registry()
    run.ledger.bad.clear()
    run.ledger.good = MISTAKE_AFTER - 1
    telling = asyncio.create_task(introduce(run, over))
    seen = {}
    for events in (MISTAKE_AFTER, APPEAR_AFTER - 1, APPEAR_AFTER):
        run.ledger.good = events
        await asyncio.sleep(3 * POLL_SECONDS)
        seen[events] = list(registry.candidates)
    assert seen == {MISTAKE_AFTER: [WRONG], APPEAR_AFTER - 1: [WRONG], APPEAR_AFTER: [WRONG, BETTER]}
    await telling
    assert GATES.min_labels < APPEAR_AFTER - MISTAKE_AFTER


class Registry:
    """Takes note of candidates."""

    def __init__(self) -> None:
        self.candidates: list[str] = []

    async def register(self, *_: Any, **__: Any) -> None: ...

    async def set_candidate(self, _: str, version: str, **__: Any) -> None:
        self.candidates.append(version)
