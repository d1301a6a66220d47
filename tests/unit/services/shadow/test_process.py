"""The shadow step without a broker: joined by offset, counted once, whatever the rhythm and the faults."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from services.shadow.binning import DIFFERENCE_EDGES, HISTOGRAMS
from services.shadow.candidates import AT_ONCE
from services.shadow.process import MOST_AHEAD, MOST_WINDOWS
from shared.dead_letters import read_dead_letter
from shared.histograms import LATENCY_EDGES, PROBABILITY_EDGES
from shared.messages import ShadowReport
from shared.promotion import Gathered, Pair
from shared.scoring.isolated import ModelLost
from tests.models import numeric_spec, table, table_spec
from tests.unit.services.shadow.harness import HOUR, NOW, Harness, answer, event, sigmoid

COUNTS = ("both", "champion_only", "candidate_only", "neither", "canary")


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    harness = Harness(tmp_path)
    harness.line_up(harness.candidate())
    return harness


def counts(report: ShadowReport) -> list[int]:
    return [getattr(report.comparison, name) for name in COUNTS]


def of(f0: float, f2: float, event_id: str = "e", **extra: object) -> bytes:
    return event(event_id, features={"f0": f0, "f1": 0, "f2": f2}, **extra)


def test_the_two_are_joined_by_offset_and_each_kind_of_missing_side_is_told(harness: Harness) -> None:
    refused = of(0, 5000)
    harness.ask([of(0, 1, "a"), of(1, 0, "b"), refused, b"{", of(0, 2, "c"), of(0, 0, "last")])
    assert [(p.event_id, p.model_version, p.source.offset) for p in harness.shadowed] == [
        ("a", "2", 0), ("b", "2", 1), ("c", "2", 4), ("last", "2", 5),
    ]  # fmt: skip
    harness.tell([answer(0, 0.9), answer(1, 0.75), answer(2, 0.5), answer(5, 0.5)])
    report = harness.report()
    assert counts(report) == [3, 1, 1, 1, 0]
    assert report.errors == {"ValidationError": 1, "DecodeError": 1}
    assert report.comparison.agreed == 2
    assert report.comparison.flips == {"yes": {"no": 1}}
    difference = report.comparison.difference
    scores = [p.score for p in harness.shadowed]
    expected = [scores[0] - 0.9, scores[1] - 0.75, scores[3] - 0.5]
    assert difference.n == 3
    assert difference.total == pytest.approx(sum(expected), abs=1e-8)
    assert difference.squares == pytest.approx(sum(d * d for d in expected), abs=1e-8)
    assert report.examples[0].event_id == "b"
    assert (report.examples[0].champion_label, report.examples[0].candidate_label) == ("yes", "no")
    assert report.next_offset == 6


def test_nothing_is_settled_before_both_have_gone_past_it(harness: Harness) -> None:
    harness.ask([of(0, i / 10, f"e{i}") for i in range(10)])
    harness.tell([answer(i, 0.5) for i in range(4)])
    assert counts(harness.report()) == [4, 0, 0, 0, 0]
    harness.tell([answer(i, 0.5) for i in range(4, 20)])
    assert counts(harness.report()) == [10, 0, 0, 0, 0]
    harness.ask([of(0, 1, f"e{i}") for i in range(10, 20)], 10)
    assert counts(harness.report()) == [20, 0, 0, 0, 0]


def fixed_stream() -> tuple[list[bytes], list[bytes]]:
    """Events of six hours in disorder, some unreadable, and predictions: missing, repeated, canary."""
    stream = random.Random(1)
    events, answers = [], []
    for offset in range(300):
        at = NOW - HOUR * 6 + offset * HOUR // 60 + stream.randrange(-3 * HOUR, 1)
        f2 = stream.random() * (2000 if offset % 17 == 0 else 2)
        features = {"f0": stream.random(), "f1": stream.randrange(7), "f2": f2}
        events.append(event(f"e{offset}", at=at, features=features) if offset % 41 else b"{")
        if offset % 13:
            version = "1" if offset < 150 else "1b"
            canary = offset % 29 == 0
            score = stream.random()
            answers.append(answer(offset, score, version="2" if canary else version, canary=canary))
            if offset % 23 == 0:
                answers.append(answers[-1])
    return events, answers


def play(harness: Harness, seed: int) -> dict[str, Any]:
    """The fixed stream, cut and interleaved at random, with restarts."""
    rhythm, (events, answers) = random.Random(seed), fixed_stream()
    asked = told = 0
    while asked < len(events) or told < len(answers):
        if asked < len(events) and rhythm.random() < 0.5:
            size = rhythm.randrange(1, 40)
            harness.ask(list(events[asked : asked + size]), asked)
            asked += len(events[asked : asked + size])
        elif told < len(answers):
            size = rhythm.randrange(1, 40)
            harness.tell(list(answers[told : told + size]))
            told += len(answers[told : told + size])
        if rhythm.random() < 0.2:
            harness.flush()
        if rhythm.random() < 0.2:
            harness.restart(harness.step.snapshot("events", 0), asked)
    harness.flush()
    return {"/".join(map(str, key)): plain(report) for key, report in harness.reported.items()}


def plain(report: ShadowReport) -> Any:
    """A report without what depends on when a micro-batch was scored."""
    nothing = {"written_at": 0, "final": False, "repeated": 0, "next_offset": 0}
    untimed: dict[str, Any] = {"champion_latency": None, "candidate_latency": None}
    segments = {
        feature: {
            text: msgspec.structs.replace(found, candidate_latency=()) for text, found in values.items()
        }
        for feature, values in report.segments.items()
    }
    return msgspec.to_builtins(msgspec.structs.replace(report, **nothing, **untimed, segments=segments))


def by_f1(harness: Harness) -> Any:
    """The candidate, with the second feature as segment: it weighs nothing."""
    return harness.candidate(spec=numeric_spec(3, version="2", window=3600, segments=("f1",)))


def test_rhythm_and_restarts_change_nothing(tmp_path: Path) -> None:
    played = []
    for seed in range(4):
        harness = Harness(tmp_path / str(seed))
        harness.line_up(by_f1(harness))
        played.append(play(harness, seed))
        total = [sum(counts(r)[i] for r in harness.reported.values()) for i in range(5)]
        assert sum(total) == 299, "the last event has no answer after it yet"
        assert sum(r.repeated for r in harness.reported.values()) == sum(
            1 for o in range(300) if o % 13 and o % 23 == 0
        )
    assert len(played[0]) > 4
    assert played[1:] == played[:1] * 3


Cells = dict[tuple[str, int, str | None], dict[str, Counter[Any]]]
"""By champion, start of the window, and value of the segment (None for the whole): what is counted."""


def recomputed(harness: Harness) -> Cells:
    """What each champion's windows must hold, event by event in plain Python."""
    events, answers = fixed_stream()
    theirs: dict[int, dict[str, Any]] = {}
    for raw in answers:
        said = msgspec.json.decode(raw)
        theirs.setdefault(said["source"]["offset"], said)
    ours = {prediction.source.offset: prediction for prediction in harness.shadowed}
    cells: Cells = defaultdict(lambda: defaultdict(Counter))
    champion, latest = "none", -1
    for offset in range(299):  # the last one is not settled
        mine, other = ours.get(offset), theirs.get(offset)
        canary = other is not None and other.get("canary", False)
        if other is not None and not canary:
            champion = other["model_version"]
        at = mine.occurred_at if mine is not None else -1
        latest = max(latest, at)
        at = at if at >= 0 else latest if latest >= 0 else NOW - 100
        start, newest = at - at % HOUR, latest - latest % HOUR
        start = newest if latest >= 0 and start < newest - HOUR else start
        kind = "canary" if canary else {
            (True, True): "both", (False, True): "champion_only", (True, False): "candidate_only",
            (False, False): "neither",
        }[mine is not None, other is not None]  # fmt: skip
        value = None if mine is None else str(msgspec.json.decode(events[offset])["features"]["f1"])
        for segment in {None, value}:
            cell = cells[champion, start, segment]
            cell["counts"][kind] += 1
            if kind == "both" and mine is not None and other is not None:
                count_pair(cell, mine, other)
    return cells


def count_pair(cell: dict[str, Counter[Any]], mine: Any, other: dict[str, Any]) -> None:
    difference = mine.score - other["score"]
    cell["difference"][bisect_right(DIFFERENCE_EDGES, difference)] += 1
    cell["champion_scores"][bisect_right(PROBABILITY_EDGES, other["score"])] += 1
    cell["candidate_scores"][bisect_right(PROBABILITY_EDGES, mine.score)] += 1
    waited = [(at - (NOW - 100)) / 1000 for at in (other["scored_at"], mine.scored_at)]
    cell["champion_latency"][bisect_right(LATENCY_EDGES, waited[0])] += 1
    cell["candidate_latency"][bisect_right(LATENCY_EDGES, waited[1])] += 1
    cell["labels"][other["label"], mine.label] += 1
    cell["sums"]["total"] += round(difference * 2**32)
    cell["sums"]["squares"] += round(difference * difference * 2**32)


def told(comparison: Any, counts_of: Any) -> dict[str, Counter[Any]]:
    """The same counts of a report, or of one of its segments."""
    labels = Counter({(a, b): n for a, by in comparison.flips.items() for b, n in by.items()})
    sums = comparison.difference
    cell: dict[str, Counter[Any]] = {
        "counts": Counter({name: getattr(comparison, name) for name in COUNTS}),
        "flips": labels,
        "agreed": Counter({"": comparison.agreed}),
        "sums": Counter({"total": round(sums.total * 2**32), "squares": round(sums.squares * 2**32)}),
    }
    return cell | {name: Counter(dict(enumerate(counts_of(name)))) for name in HISTOGRAMS}


@pytest.mark.parametrize("seed", [1, 2])
def test_every_window_and_segment_holds_what_the_events_say_one_by_one(tmp_path: Path, seed: int) -> None:
    harness = Harness(tmp_path)
    harness.line_up(by_f1(harness))
    play(harness, seed)
    found: Cells = {}
    for (_, champion, start, _), report in harness.reported.items():
        whole: Any = report
        found[champion, start, None] = told(
            report.comparison, lambda name, whole=whole: getattr(whole, name).counts
        )
        for value, segment in report.segments.get("f1", {}).items():
            found[champion, start, value] = told(
                segment.comparison, lambda name, of=segment: getattr(of, name)
            )
    expected = recomputed(harness)
    for cell in expected.values():
        labels = cell.pop("labels", Counter())
        cell["agreed"] = Counter({"": sum(n for (a, b), n in labels.items() if a == b)})
        cell["flips"] = Counter({(a, b): n for (a, b), n in labels.items() if a != b})
    assert _nonzero(found) == _nonzero(expected)
    assert len(found) > 30


def _nonzero(cells: Cells) -> dict[Any, dict[str, dict[Any, int]]]:
    kept = {
        key: {name: {k: n for k, n in counted.items() if n} for name, counted in cell.items()}
        for key, cell in cells.items()
    }
    return {key: {name: counted for name, counted in cell.items() if counted} for key, cell in kept.items()}


def test_a_prediction_that_comes_after_its_place_was_settled_is_late_not_counted_again(
    harness: Harness,
) -> None:
    harness.ask([of(0, 1, f"e{i}") for i in range(4)])
    harness.tell([answer(0, 0.5), answer(2, 0.5), answer(3, 0.5)])
    assert counts(harness.report()) == [3, 0, 1, 0, 0]
    harness.tell([answer(1, 0.5), answer(1, 0.5), answer(2, 0.5)])
    report = harness.report()
    assert counts(report) == [3, 0, 1, 0, 0]
    assert (report.late, report.repeated) == (1, 2)


@pytest.mark.parametrize("loss", ["Timeout", "Crash", "Unavailable"])
def test_a_candidate_that_is_lost_is_told_and_nothing_waits_for_it(harness: Harness, loss: str) -> None:
    candidate = harness.candidate("3")
    harness.line_up(harness.candidate("4"), candidate)
    candidate.session.losses.append(ModelLost(loss, "it is gone"))  # type: ignore[arg-type]
    harness.ask([of(0, 1, f"e{i}") for i in range(5)])
    harness.tell([answer(i, 0.5) for i in range(5)])
    report = harness.report("3")
    assert counts(report) == [0, 5, 0, 0, 0]
    assert (report.errors, report.trouble) == ({loss: 5}, "it is gone")
    assert counts(harness.report("4")) == [5, 0, 0, 0, 0]
    harness.ask([of(0, 1, f"e{i}") for i in range(5, 9)], 5)
    harness.tell([answer(i, 0.5) for i in range(5, 9)])
    report = harness.report("3")
    assert counts(report) == [4, 5, 0, 0, 0]
    assert report.trouble is None


def test_a_candidate_that_cannot_be_loaded_is_told_too(harness: Harness) -> None:
    harness.line_up(harness.candidate("5"), absent={"6": "version 6: no such operator"})
    harness.ask([of(0, 1, f"e{i}") for i in range(5)])
    harness.tell([answer(i, 0.5) for i in range(5)])
    report = harness.report("6")
    assert counts(report) == [0, 5, 0, 0, 0]
    assert (report.errors, report.trouble) == ({"Unavailable": 5}, "version 6: no such operator")


def test_answers_that_are_no_numbers_or_of_another_shape_are_told_by_name(harness: Harness) -> None:
    nan, shape = harness.candidate("7"), harness.candidate("8")
    nan.model.scorer._session = _Saying([[1.0, float("nan")]])
    shape.model.scorer._session = _Saying([[0.1, 0.2, 0.7]])
    harness.line_up(nan, shape)
    harness.ask([of(0, 1, f"e{i}") for i in range(5)])
    harness.tell([answer(i, 0.5) for i in range(5)])
    assert harness.report("7").errors == {"ProcessError": 5}
    assert harness.report("8").errors == {"WrongShape": 5}
    assert harness.shadowed == []


class _Saying:
    """A session that says the same row for every event."""

    def __init__(self, row: list[list[float]]) -> None:
        self.row = row

    def run(self, outputs: list[str], inputs: dict[str, object]) -> list[object]:
        (matrix,) = inputs.values()
        return [np.array(self.row * len(matrix), dtype=np.float32)]  # type: ignore[arg-type]


class _FailingOnTheLast:
    """A session that answers the last event with no number."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def run(self, outputs: list[str], inputs: dict[str, object]) -> list[Any]:
        (answers,) = self.session.run(outputs, inputs)
        answers[-1] = float("nan")
        return [answers]


def test_segments_add_up_to_the_whole(tmp_path: Path) -> None:
    from shared.bundle.spec import FeatureSpec

    harness = Harness(tmp_path)
    spec = numeric_spec(3, version="2", window=3600, segments=("f1",))
    features = (spec.features[0], FeatureSpec(name="f1", min=0, max=100), spec.features[2])
    harness.line_up(harness.candidate(spec=msgspec.structs.replace(spec, features=features)))
    values = [
        event(f"e{i}", features={"f0": 0, "f1": i % 70, "f2": (i % 5) - 2}) for i in range(700)
    ]  # fmt: skip
    harness.ask(values)
    harness.tell([answer(i, 0.3) for i in range(700)])
    report = harness.report()
    values_of = report.segments["f1"]
    assert len(values_of) == 51, "fifty values, and the others together"
    assert values_of["(other)"].comparison.both == 200
    assert values_of["7"].comparison.both == 10
    whole = report.comparison
    assert sum(s.comparison.both for s in values_of.values()) == whole.both == 700
    assert sum(s.comparison.agreed for s in values_of.values()) == whole.agreed
    assert sum(
        s.comparison.flips.get("no", {}).get("yes", 0) for s in values_of.values()
    ) == whole.flips["no"]["yes"]  # fmt: skip
    total = sum(s.comparison.difference.total for s in values_of.values())
    assert total == pytest.approx(whole.difference.total, abs=1e-9)


def test_a_sample_is_by_key_and_nothing_else_is_counted(tmp_path: Path) -> None:
    harness = Harness(tmp_path, sample_percent=25.0)
    harness.line_up(harness.candidate())
    harness.ask([of(0, 1, f"e{i}") for i in range(400)])
    harness.tell([answer(i, 0.5) for i in range(400)])
    report = harness.report()
    assert report.comparison.both == len(harness.shadowed)
    assert 70 <= len(harness.shadowed) <= 130
    assert report.sample_percent == 25.0


def test_each_side_waits_for_the_other_within_the_join_window(tmp_path: Path) -> None:
    harness = Harness(tmp_path, join_window=100)
    harness.line_up(harness.candidate())
    harness.ask([of(0, 1, f"e{i}") for i in range(90)])
    assert harness.step.wants("events", 0)
    harness.ask([of(0, 1, f"e{i}") for i in range(90, 110)], 90)
    assert not harness.step.wants("events", 0)
    harness.step.champion_passed(0, 60, 0)  # it refused the first sixty and committed
    harness.tell([])
    assert harness.step.wants("events", 0)
    harness.tell([answer(i, 0.5) for i in range(60, 300)])
    assert not harness.step.wants_more(0)
    harness.ask([of(0, 1, f"e{i}") for i in range(110, 290)], 110)
    assert harness.step.wants_more(0)
    assert counts(harness.report()) == [230, 0, 0, 0, 0]
    assert counts(harness.report(champion="none")) == [0, 0, 60, 0, 0]


def test_only_so_many_answers_are_read_before_their_events_are_asked_about(tmp_path: Path) -> None:
    harness = Harness(tmp_path)  # a join window of 10,000
    harness.line_up(harness.candidate())
    harness.tell([answer(i, 0.5) for i in range(MOST_AHEAD)])
    assert not harness.step.wants_more(0)
    assert harness.step.wants("events", 0)
    harness.ask([of(0, 1, f"e{i}") for i in range(10)])
    assert harness.step.wants_more(0)
    assert counts(harness.report()) == [10, 0, 0, 0, 0]


def test_what_is_no_prediction_of_these_events_is_a_dead_letter(harness: Harness) -> None:
    harness.ask([of(0, 1, "a"), of(0, 1, "b")])
    stranger = answer(1, 0.5).replace(b'"events"', b'"others"')
    harness.tell([b"{", answer(0, 0.5), stranger, answer(1, 0.5)])
    assert counts(harness.report()) == [2, 0, 0, 0, 0]
    (letters,) = harness.letters
    assert letters.values == [b"{", stranger]
    reasons = [read_dead_letter(headers) for headers in letters.headers or ()]
    assert [(r.error, r.topic, r.service) for r in reasons if r] == [
        ("DecodeError", "predictions", "shadow"), ("ValidationError", "predictions", "shadow"),
    ]  # fmt: skip


def test_regressions_have_differences_and_no_flips(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    harness.line_up(
        harness.candidate(graph=table([10.0, 20.0, 30.0]), spec=table_spec(3, version="2")), model="table"
    )
    rows = [event(f"e{i}", features={"row": i % 3}) for i in range(6)]
    harness.ask(rows)
    harness.tell([answer(i, 12.0, label=None, model="table") for i in range(6)])
    comparison = harness.report().comparison
    assert (comparison.both, comparison.agreed, comparison.flips) == (6, 0, {})
    assert comparison.difference.total == pytest.approx(2 * (-2 + 8 + 18))
    assert comparison.difference.squares == pytest.approx(2 * (4 + 64 + 324))


def test_champion_and_candidate_are_timed_on_the_same_events(harness: Harness) -> None:
    harness.line_up(harness.candidate("9"), champion=harness.candidate("10"))
    harness.ask([of(0, 1, f"e{i}") for i in range(50)])
    harness.tell([answer(i, 0.5) for i in range(50)])
    harness.ask([of(0, 1, f"e{i}") for i in range(50, 100)], 50)
    report = harness.report("9")
    assert report.candidate_timing.events == report.champion_timing.events == 50, "one in eight, at first all"
    assert report.candidate_timing.seconds > 0
    assert report.champion_timing.seconds > 0


def test_what_waits_is_small_enough_for_the_state_topic(tmp_path: Path) -> None:
    harness = Harness(tmp_path, join_window=20_000)
    harness.line_up(harness.candidate())
    harness.ask([of(0, 1, f"event-{i}") for i in range(20_000)])
    assert not harness.step.wants("events", 0)
    assert len(harness.step.snapshot("events", 0)) < 80 * 20_000 < 8 << 20


def test_a_candidate_that_is_set_again_begins_a_new_comparison(harness: Harness) -> None:
    """Whatever its last windows held: they are closed, told once more, and out of the state."""
    pair = Pair("demo", "2b", "1")
    candidate = harness.candidate("2b")
    harness.line_up(candidate)
    harness.ask([of(0, 1, f"e{i}", at=NOW - 11 * HOUR) for i in range(20)])
    harness.tell([answer(i, 0.5) for i in range(20)])
    harness.flush()
    harness.line_up()  # taken out of the candidates
    harness.ask([of(0, 1, "e20", at=NOW - 10 * HOUR)], 20)
    harness.tell([answer(20, 0.5)])
    harness.flush()
    assert harness.everything[-1].final
    assert not harness.held, "the former candidate has left nothing in the state"
    harness.line_up(candidate, basis=9)
    harness.ask([of(0, 1, f"e{i}") for i in range(21, 24)], 21)
    harness.tell([answer(i, 0.5) for i in range(21, 24)])
    harness.restart(harness.step.snapshot("events", 0), 24)
    harness.flush()
    found = Gathered()
    for report in harness.everything:
        found.take(report)
    assert found.evidence(pair, 9).sums.comparison.both == 3
    assert found.evidence(pair, 9).seconds <= HOUR / 1000
    assert found.evidence(pair, 3).sums.comparison.both == 20
    assert (found.evidence(pair, 9).begun, found.evidence(pair, 9).complete) == (
        {("events", 0): (21, 21)},
        True,
    )


def test_a_former_candidates_windows_wait_for_its_last_answer(harness: Harness) -> None:
    harness.ask([of(0, 1, f"e{i}") for i in range(6)])
    harness.tell([answer(i, 0.5) for i in range(2)])
    harness.line_up()
    harness.ask([of(0, 1, "e6")], 6)
    harness.flush()
    assert not harness.everything[-1].final
    harness.tell([answer(i, 0.5) for i in range(2, 7)])
    harness.flush()
    assert (counts(harness.everything[-1]), harness.everything[-1].final) == ([6, 0, 0, 0, 0], True)


def test_former_versions_are_not_reported_with_every_micro_batch(harness: Harness) -> None:
    for version in range(MOST_WINDOWS + 20):
        harness.line_up(harness.candidate(str(version + 10)), basis=version)
        harness.ask([of(0, 1, f"e{version}")], version)
        harness.tell([answer(version, 0.5)])
    harness.flush()
    told = len(harness.everything)
    for offset in range(MOST_WINDOWS + 20, MOST_WINDOWS + 25):
        harness.ask([of(0, 1, f"e{offset}")], offset)
        harness.tell([answer(offset, 0.5)])
    assert len(harness.everything) == told
    assert len(harness.held) <= 2


def test_a_champion_that_answers_nothing_any_more_is_told_though_nothing_is_settled(harness: Harness) -> None:
    harness.ask([of(0, 1, f"e{i}") for i in range(6)])
    harness.tell([answer(i, 0.5) for i in range(3)])
    for _ in range(10):
        harness.flush()  # a second each
    (told,) = {(r.model_version, r.champion_version): r for r in harness.everything}.values()
    assert told.waiting_seconds == pytest.approx(9.0)
    harness.clock.now += 3_600_000  # an hour in which nothing could be committed: the broker was away
    harness.flush()
    assert harness.everything[-1].waiting_seconds < 20
    harness.tell([answer(i, 0.5) for i in range(3, 6)])
    harness.flush()
    assert (harness.everything[-1].waiting_seconds, counts(harness.report())) == (0.0, [6, 0, 0, 0, 0])


def test_events_that_the_old_champion_goes_on_answering_are_told(harness: Harness) -> None:
    """Version 3 was promoted over 2, which stays as candidate; inference cannot load 3."""
    harness.line_up(harness.candidate("2c"), crowned="3", basis=7)
    harness.ask([of(0, 1, f"e{i}") for i in range(4)])
    harness.tell([answer(i, 0.5, version="2c", scored_at=NOW + 30_000 * i) for i in range(4)])
    report = harness.report("2c", "3")
    assert counts(report) == [0, 0, 0, 0, 0]
    assert (report.superseded, report.superseded_seconds, report.basis) == (4, 90.0, 7)
    harness.ask([of(0, 1, f"e{i}") for i in range(4, 6)], 4)
    harness.tell([answer(i, 0.5, version="3") for i in range(4, 6)])
    report = harness.report("2c", "3")
    assert (counts(report), report.superseded) == ([2, 0, 0, 0, 0], 4)


def test_events_that_the_candidate_fails_on_do_not_keep_a_micro_batch_from_being_timed(
    harness: Harness,
) -> None:
    candidate = harness.candidate("2d")
    candidate.model.scorer._session = _FailingOnTheLast(candidate.model.scorer._session)
    harness.line_up(candidate, champion=harness.candidate("1"))
    harness.ask([*[of(0, 1, f"e{i}") for i in range(30)], of(0, 5000)])
    harness.tell([answer(i, 0.5) for i in range(31)])
    report = harness.report("2d")
    assert counts(report) == [29, 2, 0, 0, 0]
    assert (report.champion_timing.events, report.candidate_timing.events) == (30, 30)


def test_the_time_limit_is_for_so_many_events_and_not_for_a_micro_batch(harness: Harness) -> None:
    candidate = harness.candidate("2e")
    begun = []
    candidate.session.begin = lambda: begun.append(1)  # type: ignore[method-assign]
    harness.line_up(candidate)
    count = 2 * AT_ONCE + 100
    harness.ask([of(i % 40, i % 7) if i % 500 else of(0, 5000) for i in range(count)])
    assert len(begun) == 3
    harness.tell([answer(i, 0.5) for i in range(count)])
    refused = len(range(0, count, 500))
    assert counts(harness.report("2e")) == [count - refused, refused, 0, 0, 0]
    expected = sigmoid([float(i % 7 - i % 40) for i in range(count) if i % 500])
    assert [p.score for p in harness.shadowed] == pytest.approx(expected, abs=1e-6)


def test_what_a_canary_could_not_answer_is_counted_for_it_and_for_nobody_else(harness: Harness) -> None:
    harness.line_up(harness.candidate("3"), harness.candidate("4"))
    harness.ask([of(0, 1, f"e{i}") for i in range(6)])
    live = {1: {"version": "3", "canary": True}, 2: {"instead_of": "3"}, 4: {"instead_of": "3"}}
    harness.tell([answer(i, 0.5, **live.get(i, {})) for i in range(3)])
    harness.restart(harness.step.snapshot("events", 0), 6)
    harness.tell([answer(i, 0.5, **live.get(i, {})) for i in range(3, 6)])
    found = {version: harness.report(version) for version in "34"}
    assert {v: (counts(r), r.fallbacks) for v, r in found.items()} == {
        "3": ([5, 0, 0, 0, 1], 2), "4": ([5, 0, 0, 0, 1], 0),
    }  # fmt: skip


def test_what_a_former_release_has_left_in_the_state_is_taken_over(tmp_path: Path) -> None:
    """It kept the texts of segments event by event, and of a segment no histograms."""
    harness = Harness(tmp_path)
    harness.line_up(by_f1(harness))
    harness.ask([event(f"e{i}", features={"f0": 0, "f1": i % 3, "f2": i - 5}) for i in range(12)])
    harness.tell([answer(i, 0.3) for i in range(8)])
    before = harness.report()
    state = msgspec.msgpack.decode(harness.step.snapshot("events", 0))
    (cell,), (asked,) = state["cells"], state["asked"]
    del cell["tables"], asked["texts"]
    asked["segments"] = {"f1": ["2", "0", "1", None]}  # of the four that wait; the last one had none
    cell["segments"] = {
        "f1": {
            value: {
                "kinds": [getattr(segment.comparison, name) for name in COUNTS],
                "agreed": segment.comparison.agreed,
                "flips": segment.comparison.flips,
                "total": segment.comparison.difference.total * 2**32,
                "squares": segment.comparison.difference.squares * 2**32,
            }
            for value, segment in before.segments["f1"].items()
        }
    }
    harness.restart(msgspec.msgpack.encode(state), 12)
    harness.tell([answer(i, 0.3) for i in range(8, 12)], 8)
    found = harness.report().segments["f1"]
    assert {value: segment.comparison.both for value, segment in found.items()} == {"0": 4, "1": 4, "2": 3}
    assert sum(sum(segment.champion_scores) for segment in found.values()) == 3, "of those since then"
    assert found["0"].comparison.difference.total == pytest.approx(
        sum(p.score - 0.3 for p in harness.shadowed if p.source.offset in (0, 3, 6, 9)), abs=1e-8
    )


def test_a_segments_figures_take_so_much_state(tmp_path: Path) -> None:
    """Counts are kept as narrow as they are small: a segment takes about 300 bytes, at most 900."""
    harness = Harness(tmp_path)
    harness.line_up(by_f1(harness))
    count = 3000
    harness.ask([event(f"e{i}", features={"f0": i % 11, "f1": i % 60, "f2": i % 7}) for i in range(count)])
    harness.tell([answer(i, (i % 97) / 97) for i in range(count)])
    whole = harness.step.snapshot("events", 0)
    harness.report()
    (cell,) = msgspec.msgpack.decode(whole)["cells"]
    table = cell["tables"]["f1"]
    assert len(table["names"]) == 51
    assert len(msgspec.msgpack.encode(table)) < 51 * 400
    report = msgspec.json.encode(harness.everything[-1])
    assert len(report) < 51 * 900


def test_a_reader_knows_when_the_first_reports_are_not_there_any_more(harness: Harness) -> None:
    for hour in range(5):
        first = 10 * hour
        harness.ask([of(0, 1, f"e{i}", at=NOW - (6 - hour) * HOUR) for i in range(first, first + 10)], first)
        harness.tell([answer(i, 0.5) for i in range(first, first + 10)])
        harness.flush()
        harness.restart(harness.step.snapshot("events", 0), first + 10)
    whole, rest = Gathered(), Gathered()
    for report in harness.everything:
        whole.take(report)
        if report.window.start >= NOW - 4 * HOUR:
            rest.take(report)
    pair = Pair("demo", "2", "1")
    assert [found.evidence(pair).complete for found in (whole, rest)] == [True, False]
    assert rest.evidence(pair).begun == {("events", 0): (0, 20)}
