"""The join: every way in which a label can come, and the same figures whatever happens on the way."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from services.performance import partition, plain
from services.performance.checkpoints import decode_base
from services.performance.packets import Answered, Followed, Known, Packet, Touched
from shared.bundle.truth import KpiSpec
from shared.messages import PerformanceReport
from tests.unit.services.performance.harness import HOUR, START, Harness, Log, answered, binary


def one(harness: Harness, version: str = "1") -> PerformanceReport:
    (report,) = harness.windows(version)
    return report


def start(tmp_path: Path, *answers: Answered) -> Harness:
    log = Log()
    log.answers(answers)
    return Harness(tmp_path, log, binary(), binary("2"))


def test_a_label_joins_its_answer(tmp_path: Path) -> None:
    harness = start(tmp_path, answered("a", 0.8, START), answered("b", 0.3, START))
    harness.log.labels([Known("a", "yes", START + HOUR)])
    harness.run()
    report = one(harness)
    assert (report.quality.predictions, report.quality.labels, report.labels.joined) == (2, 1, 1)
    assert report.quality.confusion == {"yes": {"yes": 1}}
    (told,) = harness.labelled
    assert (told.event_id, told.truth, told.matured, told.replaces) == ("a", "yes", False, None)
    assert [(a.model_version, a.score) for a in told.answers] == [("1", 0.8)]


def test_a_corrected_label_takes_the_former_one_back(tmp_path: Path) -> None:
    harness = start(tmp_path, answered("a", 0.8, START))
    harness.log.labels([Known("a", "yes", START + HOUR)])
    harness.log.labels([Known("a", "no", START + 2 * HOUR)])
    harness.run()
    report = one(harness)
    assert report.quality.confusion == {"no": {"yes": 1}}
    assert (report.labels.joined, report.labels.corrected) == (1, 1)
    assert report.quality.brier is not None
    assert report.quality.brier.total == 0.8**2
    assert report.kpis["cost"].value.total == -5
    assert harness.labelled[1].replaces == harness.labelled[0]


def test_the_same_label_again_is_a_duplicate(tmp_path: Path) -> None:
    harness = start(tmp_path, answered("a", 0.8, START))
    harness.log.labels([Known("a", "yes", START + HOUR), Known("a", True, START + 2 * HOUR)])
    harness.run()
    assert (one(harness).labels.joined, one(harness).labels.duplicate) == (1, 1)
    assert len(harness.labelled) == 1


def test_a_label_after_the_horizon_is_late_and_changes_nothing(tmp_path: Path) -> None:
    harness = start(tmp_path, answered("a", 0.8, START), answered("b", 0.8, START))
    harness.log.labels([Known("a", "yes", START + HOUR), Known("b", "yes", START + 4 * HOUR + 1)])
    harness.log.labels([Known("a", "no", START + 5 * HOUR)])
    harness.run()
    report = one(harness)
    assert (report.labels.joined, report.labels.late, report.labels.corrected) == (1, 2, 0)
    assert report.quality.confusion == {"yes": {"yes": 1}}


def test_a_label_before_its_answer_waits_for_it(tmp_path: Path) -> None:
    log = Log()
    log.labels(
        [Known("a", "no", START), Known("a", "yes", START + HOUR), Known("late", "no", START + 9 * HOUR)]
    )
    log.outcomes([Followed("a", "revenue", 3.0, START)])
    harness = Harness(tmp_path, log, binary(kpis=(KpiSpec(name="revenue", value="revenue"),)))
    harness.run(checkpoint=1)
    log.answers([answered("a", 0.8, START), answered("late", 0.8, START)])
    harness.run()
    report = one(harness)
    assert (report.labels.joined, report.labels.early, report.labels.corrected) == (1, 2, 1)
    assert report.labels.late == 1
    assert report.quality.confusion == {"yes": {"yes": 1}}
    assert report.kpis["revenue"].value.total == 3


def test_an_answer_without_a_label_is_missing_once_the_horizon_has_passed(tmp_path: Path) -> None:
    harness = start(tmp_path, answered("a", 0.8, START), answered("b", 0.8, START))
    harness.log.labels([Known("a", "yes", START + HOUR)])
    harness.log.time(START + 4 * HOUR)
    harness.run()
    assert one(harness).labels.missing == 0, "the horizon is rounded up"
    harness.log.time(START + 6 * HOUR)
    harness.run()
    (report,) = harness.final
    assert report.final
    assert (report.labels.joined, report.labels.missing) == (1, 1)
    assert harness.join.open_events == 0
    told = harness.labelled[-1]
    assert told.matured
    assert told.replaces == harness.labelled[0]
    assert harness.matured["m", "1"] == [("a", START, 2 * 9 + 1)], (
        "score 0.8 is in bin 9 of label given score"
    )


def test_a_label_of_an_input_called_idle_too_early_counts_within_the_grace(tmp_path: Path) -> None:
    log = Log()
    log.answers([answered("a", 0.8, START)])
    log.labels([], idle=True)
    log.answers([answered("b", 0.8, START + 9 * HOUR)])  # the horizon is four hours
    log.labels([Known("a", "yes", START + HOUR)])
    log.labels([Known("b", "yes", START + 9 * HOUR)])
    strict, lenient = (
        Harness(tmp_path / str(grace), log, binary(), binary("2"), grace=grace) for grace in (0, 8)
    )
    strict.run()
    lenient.run()
    assert [report.labels.joined for report in strict.windows()] == [0, 1]
    assert [report.labels.joined for report in lenient.windows()] == [1, 1]
    assert strict.final
    assert not lenient.final
    for _ in range(8):
        log.time(START + 9 * HOUR)
    lenient.run()
    assert [report.labels.joined for report in lenient.final] == [1]


def test_labels_and_outcomes_that_never_find_an_answer_are_orphans(tmp_path: Path) -> None:
    log = Log()
    log.labels([Known("nobody", "yes", START)])
    log.outcomes([Followed("nobody", "sale", 3.0, START), Followed("nobody else", "sale", 3.0, START)])
    log.time(START + 15 * 24 * HOUR)
    harness = Harness(tmp_path, log, binary())
    harness.run(checkpoint=1)
    assert harness.join.orphans == 3
    assert harness.join.open_events == 0
    log.labels([Known("nobody", "yes", START)])
    log.outcomes([Followed("nobody", "sale", 3.0, START)])
    harness.run()
    assert harness.join.orphans == 5, "those that come when nobody could answer any more"
    harness.kill()
    assert harness.join.orphans == 5


def test_an_answer_whose_window_is_final_is_counted_as_late(tmp_path: Path) -> None:
    harness = start(tmp_path, answered("a", 0.8, START))
    harness.log.time(START + 6 * HOUR)
    harness.log.answers([answered("b", 0.8, START)])
    harness.run()
    first, second = harness.windows()
    assert (first.final, first.quality.predictions, second.late) == (True, 1, 1)


def test_a_label_that_is_no_class_is_unusable(tmp_path: Path) -> None:
    harness = start(tmp_path, answered("a", 0.8, START))
    harness.log.labels([Known("a", "perhaps", START)])
    harness.run()
    assert (one(harness).labels.unusable, one(harness).labels.joined) == (1, 0)


def test_every_version_that_answered_is_judged_and_kpis_only_where_it_was_heard(tmp_path: Path) -> None:
    harness = start(tmp_path, answered("a", 0.8, START))
    harness.log.labels([Known("a", "no", START)])
    harness.log.answers([answered("a", 0.2, START, version="2", shadow=True)])
    harness.run()
    assert one(harness, "1").quality.confusion == {"no": {"yes": 1}}
    assert one(harness, "2").quality.confusion == {"no": {"no": 1}}
    assert (one(harness, "1").answered, one(harness, "2").answered) == (1, 0)
    assert one(harness, "1").kpis["cost"].value.total == -5
    assert one(harness, "2").kpis == {}
    assert [len(told.answers) for told in harness.labelled] == [1, 2]
    assert harness.labelled[1].replaces == harness.labelled[0]


def test_an_answer_told_twice_counts_once(tmp_path: Path) -> None:
    harness = start(tmp_path, answered("a", 0.8, START), answered("a", 0.8, START))
    harness.run(checkpoint=1)
    harness.log.answers([answered("a", 0.8, START)])
    harness.run()
    assert one(harness).quality.predictions == 1


def test_a_missing_outcome_counts_as_declared_once_the_horizon_has_passed(tmp_path: Path) -> None:
    log = Log()
    log.answers([answered("a", 0.8, START), answered("b", 0.8, START), answered("c", 0.2, START)])
    log.outcomes([Followed("a", "sale", 30.0, START + HOUR), Followed("a", "sale", 40.0, START + HOUR)])
    log.outcomes([Followed("b", "sale", 99.0, START + 5 * HOUR)])
    harness = Harness(
        tmp_path, log, binary(kpis=(KpiSpec(name="gain", value="sale - 2 * decision", missing=0),))
    )
    harness.run()
    assert one(harness).kpis["gain"].value.total == 38
    log.time(START + 9 * HOUR)
    harness.run()
    (report,) = harness.final
    assert (report.kpis["gain"].value.n, report.kpis["gain"].value.total) == (3, 38 - 2 - 0)
    assert (report.outcomes, report.late_outcomes) == (2, 1)


@pytest.mark.parametrize("value", [40.0, 9e12, 3e150])
def test_what_another_decision_was_worth_is_exact_however_much_it_was(tmp_path: Path, value: float) -> None:
    """In 64 bits the sum of a bin wrapped at 8.8e12, and the best cut-off was that of another sign."""
    facts = binary(kpis=(KpiSpec(name="gain", value="sale * decision"),))
    harness = start(tmp_path)
    harness.facts["m", "1"] = facts
    harness.log.answers([answered("a", 0.8, START), answered("b", 0.8, START), answered("c", 0.2, START)])
    harness.log.outcomes([Followed(name, "sale", value, START + 1) for name in "abc"])
    harness.run(checkpoint=1)
    harness.kill()
    gain = one(harness).kpis["gain"]
    assert sorted(filter(None, gain.if_positive)) == [value, 2 * value]
    harness.log.outcomes([Followed(name, "sale", 1.0, START + 2) for name in "abc"])
    harness.run(checkpoint=1)
    assert sorted(filter(None, one(harness).kpis["gain"].if_positive)) == [1.0, 2.0], "nothing is left of it"


def test_an_outcome_of_an_entity_goes_to_its_latest_answer_before_it(tmp_path: Path) -> None:
    facts = binary(kpis=(KpiSpec(name="revenue", value="revenue", by="entity"),))
    log = Log()
    paid = Followed("tail", "revenue", 7.0, START + 2 * HOUR)
    log.packets.append(Packet("outcomes/0", -1, entity_outcomes=[paid]))  # before any answer
    for event_id, at in (("c", START + 3 * HOUR), ("a", START), ("b", START + HOUR)):
        log.answers([answered(event_id, 0.8, at)])
        log.packets.append(Packet("log/0", -1, touches=[Touched("tail", event_id, "m", "1", at)]))
    harness = Harness(tmp_path, log, facts)
    harness.run(checkpoint=1)
    harness.kill()
    log.time(START + 3 * HOUR)
    harness.run()
    worth = {(r.window.start - START) // HOUR: r.kpis.get("revenue") for r in harness.windows()}
    assert worth[1] is not None
    assert (worth[1].value.n, worth[1].value.total) == (1, 7)
    assert (worth[0], worth[3]) == (None, None)
    assert harness.join.orphans == 0


REVENUE = KpiSpec(name="revenue", value="revenue", by="entity")


def touch(log: Log, event_id: str, entity: str, at: int) -> None:
    log.answers([answered(event_id, 0.8, at)])
    log.packets.append(Packet("log/0", -1, touches=[Touched(entity, event_id, "m", "1", at)]))


def paid(log: Log, entity: str, value: float, at: int) -> None:
    log.packets.append(Packet("outcomes/0", -1, entity_outcomes=[Followed(entity, "revenue", value, at)]))


def revenue(reports: list[PerformanceReport]) -> dict[int, tuple[int, float]]:
    """Answers with revenue, and their sum, by hour."""
    sums = {(r.window.start - START) // HOUR: r.kpis["revenue"].value for r in reports if "revenue" in r.kpis}
    return {hour: (value.n, round(value.total, 6)) for hour, value in sums.items() if value.n}


def test_an_outcome_of_an_entity_finds_its_event_when_both_are_due_in_one_leap(tmp_path: Path) -> None:
    log = Log()
    touch(log, "a", "tail", START)
    log.labels([], idle=True)
    paid(log, "tail", 7.0, START + HOUR)
    log.answers([answered("b", 0.8, START + 9 * HOUR)])  # the horizon is four hours
    for _ in range(8):
        log.labels([], idle=True)
    harness = Harness(tmp_path, log, binary(kpis=(REVENUE,)), grace=8)
    harness.run(batch=1, checkpoint=1)
    assert revenue(harness.reports()) == {0: (1, 7.0)}
    assert not harness.final
    for _ in range(9):
        log.labels([], idle=True)
    harness.run(batch=1)
    assert revenue(harness.final) == {0: (1, 7.0)}, "a second grace later"


@pytest.mark.parametrize("kill", [False, True])
def test_the_newest_outcomes_are_sent_on_although_nothing_comes_after_them(
    tmp_path: Path, kill: bool
) -> None:
    log = Log()
    touch(log, "a", "tail", START)
    touch(log, "b", "fin", START + 400)
    paid(log, "tail", 7.0, START + 500)
    paid(log, "fin", 3.0, START + 501)
    log.time(START + 500)
    harness = Harness(tmp_path, log, binary(kpis=(REVENUE,)))
    harness.run(checkpoint=1)
    assert revenue(harness.reports()) == {0: (1, 7.0)}, "event time has not come to the other"
    assert START - 1 in decode_base(harness.state[b"p/base"] or b"").oldest, "its packet is still needed"
    if kill:
        harness.kill(lose_disk=True)
    log.time(START + 501)
    harness.run(checkpoint=1)
    assert revenue(harness.reports()) == {0: (2, 10.0)}
    assert harness.join.orphans == 0


@pytest.mark.parametrize(("before", "after"), [(30, 5), (5, 30)])
def test_another_grace_counts_from_the_next_checkpoint_on(tmp_path: Path, before: int, after: int) -> None:
    """What was said before a kill is not said again, and what was not is said after it."""
    log, _ = stream(3, hours=24)
    calm = Harness(tmp_path / "calm", log, binary(), binary("2"), grace=before)
    killed = Harness(tmp_path / "killed", log, binary(), binary("2"), grace=before)
    half = len(log.packets) // 2
    for harness in (calm, killed):
        harness.run(half - 8, batch=1, checkpoint=1)
        harness.run(half, batch=1, checkpoint=0)
        harness.grace = after
    assert calm.join.watermark > 0
    killed.kill()
    assert killed.join.watermark == calm.join.watermark
    calm.kill(lose_disk=True)
    for harness in (calm, killed):
        harness.run(batch=1, checkpoint=1)
    for _ in range(40):
        log.time(START + 40 * HOUR)
    for harness in (calm, killed):
        harness.run()
        keys = [(report.model_version, report.window.start) for report in harness.final]
        assert len(keys) == len(set(keys)) >= 24, "every window is final once"
    assert (killed.final, killed.labelled, killed.matured) == (calm.final, calm.labelled, calm.matured)


@pytest.mark.parametrize("grace", [0, 24])
@pytest.mark.parametrize("lose_disk", [False, True])
def test_outcomes_of_entities_are_with_their_answers_whoever_was_killed(
    tmp_path: Path, lose_disk: bool, grace: int
) -> None:
    rng = random.Random(5)
    log, expected, latest = Log(), dict[str, float](), dict[str, str]()
    for number in range(300):
        now, entity = START + number * HOUR // 20, f"tail{rng.randrange(12)}"
        if rng.random() < 0.5 or entity not in latest:
            touch(log, f"e{number}", entity, now)
            latest[entity] = f"e{number}"
        else:
            value = round(rng.random(), 3)
            paid(log, entity, value, now)
            expected[latest[entity]] = value  # the last one counts
        log.labels([Known("nobody", "yes", now)])
    harness = Harness(tmp_path, log, binary(kpis=(REVENUE,), horizon=24 * HOUR), grace=grace)
    while harness.offset < len(log.packets):
        harness.run(min(len(log.packets), harness.offset + rng.randint(1, 12)), seed=rng.randrange(1000))
        harness.kill(lose_disk=lose_disk and rng.random() < 0.5)
    for _ in range(30):
        log.time(START + 15 * HOUR)
    harness.run()
    hours: dict[int, list[float]] = {}
    for event_id, value in expected.items():
        hours.setdefault(int(event_id[1:]) // 20, []).append(value)
    assert revenue(harness.reports()) == {h: (len(v), round(sum(v), 6)) for h, v in sorted(hours.items())}


def stream(seed: int, hours: int = 12) -> tuple[Log, list[Answered]]:
    """A log in which everything happens, and its answers; labels come when they are observed."""
    rng = random.Random(seed)
    log, answers = Log(), []
    waiting: list[Known] = []
    for hour in range(hours):
        now = START + hour * HOUR
        fresh = []
        for number in range(rng.randint(20, 40)):
            event_id, score = f"e{hour}-{number}", rng.random()
            at = now + rng.randrange(HOUR)
            carrier = rng.choice(["UA", "B6", "AA"])
            fresh.append(answered(event_id, score, at, carrier=carrier))
            if rng.random() < 0.4:
                fresh.append(answered(event_id, rng.random(), at, version="2", shadow=True, carrier=carrier))
            for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
                truth = "yes" if rng.random() < score else "no"
                waiting.append(Known(event_id, truth, at + rng.randrange(int(4.4 * HOUR))))
        answers += fresh
        rng.shuffle(fresh)
        passed = now + rng.randrange(HOUR)
        log.labels(due := [known for known in waiting if known.observed_at < passed])
        waiting = [known for known in waiting if known not in due]
        for part in np.array_split(np.arange(len(fresh)), 3):
            log.answers([fresh[i] for i in part])
    log.labels(waiting)
    return log, answers


def sent_last(log: Log, answers: list[Answered]) -> dict[str, str]:
    """The label of each event that counts, from the log itself: the last one within the horizon."""
    at = {answer.event_id: answer.occurred_at for answer in answers}
    return {
        known.event_id: str(known.truth)
        for packet in log.packets
        for known in packet.labels
        if known.observed_at <= at[known.event_id] + 4 * HOUR
    }


def check(reports: list[PerformanceReport], answers: list[Answered], truth: dict[str, str]) -> None:
    """Every figure of every window and segment against scikit-learn on the same rows."""
    checked = 0
    for report in reports:
        rows = [
            a
            for a in answers
            if a.version == report.model_version and report.window.start <= a.occurred_at < report.window.end
        ]
        for carrier in (None, "UA", "B6", "AA"):
            some = [a for a in rows if carrier is None or a.segments == {"carrier": carrier}]
            if not some:
                continue
            quality = report.quality if carrier is None else report.segments["carrier"][carrier]
            assert quality.predictions == len(some)
            known = [a for a in some if a.event_id in truth]
            assert quality.labels == len(known)
            if not known:
                continue
            y = [truth[a.event_id] == "yes" for a in known]
            p = [a.score for a in known]
            chosen = [a.score >= 0.5 for a in known]
            (tn, fp), (fn, tp) = sk.confusion_matrix(y, chosen, labels=[False, True]).tolist()
            counts = {t: {c: n for c, n in row.items() if n} for t, row in
                      {"no": {"no": tn, "yes": fp}, "yes": {"no": fn, "yes": tp}}.items()}  # fmt: skip
            assert quality.confusion == {t: row for t, row in counts.items() if row}
            assert quality.correct == tn + tp
            assert quality.log_loss is not None
            assert quality.brier is not None
            expected = sk.log_loss(y, p, labels=[False, True]) * len(y)
            assert quality.log_loss.total == pytest.approx(expected, abs=1e-9, rel=1e-12)
            assert quality.brier.total == pytest.approx(np.sum((np.array(p) - y) ** 2), abs=1e-9)
            assert sum(quality.positives) == sum(y)
            checked += 1
    assert checked > 40


@pytest.mark.parametrize("seed", range(3))
def test_figures_equal_scikit_learn_over_the_same_rows(tmp_path: Path, seed: int) -> None:
    log, answers = stream(seed)
    harness = Harness(tmp_path, log, binary(), binary("2"))
    harness.run(seed=seed)
    check(harness.reports(), answers, sent_last(log, answers))


@pytest.mark.parametrize("grace", [0, 20])
@pytest.mark.parametrize("lose_disk", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_kills_and_replays_leave_no_trace(tmp_path: Path, seed: int, lose_disk: bool, grace: int) -> None:
    log, answers = stream(seed, hours=24 if grace else 14)
    calm = Harness(tmp_path / "calm", log, binary(), binary("2"), grace=grace)
    calm.run(batch=1, checkpoint=0.1)
    killed = Harness(tmp_path / "killed", log, binary(), binary("2"), grace=grace)
    rng = random.Random(seed)
    while killed.offset < len(log.packets):
        killed.run(min(len(log.packets), killed.offset + rng.randint(1, 12)), seed=rng.randrange(1000))
        killed.kill(lose_disk=lose_disk and rng.random() < 0.5)
    assert killed.final, "windows ended on the way"
    assert killed.reports() == calm.reports()
    assert killed.labelled == calm.labelled
    assert killed.matured == calm.matured
    check(killed.reports(), answers, sent_last(log, answers))


def test_a_packet_at_a_time_is_the_same_as_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The common case has a way of its own: it must say and count what the rules say, in the same order."""
    log, _ = stream(8)
    many = Harness(tmp_path / "many", log, binary(), binary("2"))
    many.run(batch=1, checkpoint=0.3)
    monkeypatch.setattr(plain, "repeated", set)  # as if every event came twice in its packet
    single = Harness(tmp_path / "single", log, binary(), binary("2"))
    single.run(batch=1, checkpoint=0.3)
    assert single.reports() == many.reports()
    assert (single.labelled, single.matured) == (many.labelled, many.matured)
    bases = [harness.state.pop(b"p/base") for harness in (many, single)]
    assert decode_base(bases[0] or b"") == decode_base(bases[1] or b"")
    assert single.state == many.state


def test_a_long_batch_is_counted_before_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is noted is bounded: a rebuild takes a million packets without a report or a checkpoint."""
    monkeypatch.setattr(partition, "_MOST_NOTED", 10)
    harness = start(tmp_path, *(answered(str(n), 0.8, START) for n in range(9)))
    harness.run(checkpoint=0)
    (window,) = harness.join.windows.values()
    assert window.answered == 9, "nine answers, with what each was worth"
    harness.log.answers([answered("a", 0.8, START)])
    harness.run(checkpoint=0)
    assert window.answered == 9, "one more is only noted"
    assert one(harness).quality.predictions == 10
