"""Beside the truth: every pair judged, corrections taken back to the last bit."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from services.shadow.judged import RANK_EDGES
from services.shadow.labels import LabelStep
from services.shadow.metrics import ShadowMetrics
from shared.bundle.spec import ModelSpec
from shared.dead_letters import read_dead_letter
from shared.kafka.records import Output
from shared.messages import Answer, Judged, Labelled, ShadowReport, Source
from shared.topics import TopicNames
from tests.models import numeric_spec, table_spec
from tests.unit.services.shadow.harness import records

HOUR = 3_600_000
BINARY = numeric_spec(3, window=3600)


class Labels:
    """One partition of ``labelled``."""

    def __init__(self, *specs: ModelSpec) -> None:
        self.specs = {spec.name: spec for spec in specs or (BINARY,)}
        self.now = 0
        self.reported: dict[tuple[str, str, int, int], ShadowReport] = {}
        self.letters: list[Output] = []
        self.sent = 0
        self.restart(None)

    def restart(self, state: bytes | None) -> None:
        self.collectors = CollectorRegistry()
        metrics = ShadowMetrics(self.collectors)
        self.step = LabelStep(
            lambda: self.specs,
            TopicNames(),
            metrics,
            clock=lambda: self.now,
            passed_over=metrics.labels_passed_over,
        )
        self.step.open("labelled", 0, self.sent, state)

    def send(self, *messages: Labelled | bytes) -> None:
        values = [m if isinstance(m, bytes) else msgspec.json.encode(m) for m in messages]
        work = self.step.decode([records("labelled", list(values), self.sent)])
        self.step.compute(work)
        self.sent += len(values)
        self._keep(self.step.encode(work, 0))

    def reports(self) -> list[ShadowReport]:
        self.now += 10_000
        self._keep(self.step.flush("labelled", 0))
        return list(self.reported.values())

    def judged(self, version: str = "2") -> Judged:
        (report,) = [r for r in self.reports() if r.model_version == version]
        return report.judged

    def _keep(self, outputs: list[Output]) -> None:
        for output in outputs:
            if output.topic == "dead-letters":
                self.letters.append(output)
                continue
            for value in output.values:
                report = msgspec.json.decode(value, type=ShadowReport)
                self.reported[report.model, report.model_version, report.window.start, report.basis] = report


def said(version: str, score: float, **extra: Any) -> Answer:
    label = extra.pop("label", "yes" if score >= 0.5 else "no")
    return Answer(model_version=version, score=score, scored_at=1, label=label, **extra)


def labelled(
    number: int, truth: str | float, champion: float, candidate: float, *, at: int = HOUR, **extra: Any
) -> Labelled:
    answers = (said("1", champion), said("2", candidate, shadow=True))
    fields = {"event_id": f"e{number}", "model": "demo", "answers": answers} | extra
    return Labelled(source=Source("events", 0, number), occurred_at=0, observed_at=at, truth=truth, **fields)


def test_losses_are_the_textbook_ones_and_the_differences_favour_the_candidate_above_zero() -> None:
    labels = Labels()
    rows = [("yes", 0.6, 0.9), ("no", 0.2, 0.7), ("yes", 0.4, 0.4), ("yes", 0.0, 0.0005)]
    labels.send(*(labelled(i, *row) for i, row in enumerate(rows)))
    judged = labels.judged()
    assert (judged.pairs, judged.wins, judged.losses, judged.ties) == (4, 2, 1, 1)

    def log_loss(truth: str, score: float) -> float:
        return -math.log(max(score if truth == "yes" else 1 - score, 0.001))

    def brier(truth: str, score: float) -> float:
        return (score - (truth == "yes")) ** 2

    for name, loss in (("log_loss", log_loss), ("brier", brier)):
        differences = [loss(truth, one) - loss(truth, two) for truth, one, two in rows]
        sums = getattr(judged, name)
        assert sums.n == 4
        assert sums.total == pytest.approx(sum(differences), abs=1e-8)
        assert sums.squares == pytest.approx(sum(d * d for d in differences), abs=1e-8)
        assert getattr(judged.champion, name) == pytest.approx(
            sum(loss(t, one) for t, one, _ in rows), abs=1e-8
        )
        assert getattr(judged.candidate, name) == pytest.approx(
            sum(loss(t, two) for t, _, two in rows), abs=1e-8
        )
    assert (judged.champion.correct, judged.candidate.correct, judged.correct.total) == (2, 1, -1.0)


def test_a_corrected_label_leaves_exactly_what_the_right_one_alone_would_have() -> None:
    numbers = random.Random(3)
    rows = [(numbers.choice(["yes", "no"]), numbers.random(), numbers.random()) for _ in range(200)]
    right, corrected = Labels(), Labels()
    right.send(*(labelled(i, *row, segments={"f1": "a"}) for i, row in enumerate(rows)))
    for i, (truth, *scores) in enumerate(rows):
        wrong = labelled(i, "no" if truth == "yes" else "yes", *scores, segments={"f1": "a"})
        corrected.send(wrong, labelled(i, truth, *scores, segments={"f1": "a"}, replaces=wrong))
        if i % 50 == 0:
            corrected.restart(corrected.step.snapshot("labelled", 0))
    (one,), (two,) = right.reports(), corrected.reports()
    assert msgspec.structs.replace(two, written_at=0, next_offset=0) == msgspec.structs.replace(
        one, written_at=0, next_offset=0
    )


def test_a_correction_after_its_window_has_closed_is_taken_back_in_the_newest() -> None:
    labels = Labels()
    wrong = labelled(0, "no", 0.2, 0.9, at=HOUR)
    labels.send(wrong, labelled(1, "yes", 0.6, 0.7, at=9 * HOUR))
    labels.send(labelled(0, "yes", 0.2, 0.9, at=9 * HOUR, replaces=wrong))
    by_window = {r.window.start // HOUR: r.judged for r in labels.reports()}
    assert [(by_window[h].pairs, by_window[h].wins, by_window[h].losses) for h in (1, 9)] == [
        (1, 0, 1), (1, 2, -1),
    ]  # fmt: skip
    assert sum(j.brier.total for j in by_window.values()) == pytest.approx(
        (0.4**2 - 0.3**2) + (0.8**2 - 0.1**2), abs=1e-8
    )


def test_windows_are_of_the_labels_time_and_a_closed_one_is_reported_at_once() -> None:
    labels = Labels()
    labels.send(*(labelled(h, "yes", 0.6, 0.7, at=h * HOUR) for h in range(1, 6)))
    assert [(key[2] // HOUR, r.final) for key, r in labels.reported.items()] == [
        (1, True),
        (2, True),
        (3, True),
    ]
    assert sorted(r.window.start // HOUR for r in labels.reports()) == [1, 2, 3, 4, 5]


def test_several_candidates_a_canary_and_a_missing_champion() -> None:
    labels = Labels()
    both = (said("1", 0.6), said("2", 0.7, shadow=True), said("3", 0.5, shadow=True))
    labels.send(
        labelled(0, "yes", 0, 0, answers=both),
        labelled(1, "yes", 0, 0, answers=(said("2", 0.7, canary=True), said("3", 0.5, shadow=True))),
        labelled(2, "yes", 0, 0, answers=(said("2", 0.7, shadow=True),)),
    )
    assert {(r.model_version, r.judged.pairs) for r in labels.reports()} == {("2", 1), ("3", 1)}


def test_ranking_counts_give_the_auc_to_the_bins_resolution() -> None:
    numbers = random.Random(5)
    labels = Labels()
    rows = []
    for i in range(1500):
        positive = numbers.random() < 0.3
        champion = min(max(numbers.gauss(0.6 if positive else 0.4, 0.15), 0), 1)
        rows.append((positive, champion, min(max(champion + numbers.gauss(0, 0.1), 0), 1)))
        labels.send(labelled(i, "yes" if positive else "no", *rows[-1][1:]))
    (report,) = labels.reports()
    ranking = report.ranking
    assert ranking.edges == RANK_EDGES

    def exact(at: int) -> float:
        ups = [row[at] for row in rows if row[0]]
        downs = [row[at] for row in rows if not row[0]]
        return sum((u > d) + (u == d) / 2 for u in ups for d in downs) / (len(ups) * len(downs))

    def binned(ups: tuple[int, ...], downs: tuple[int, ...]) -> float:
        below = won = 0.0
        for up, down in zip(ups, downs, strict=True):
            won += up * (below + down / 2)
            below += down
        return won / (sum(ups) * sum(downs))

    assert binned(ranking.champion_positive, ranking.champion_negative) == pytest.approx(exact(1), abs=2e-3)
    assert binned(ranking.candidate_positive, ranking.candidate_negative) == pytest.approx(exact(2), abs=2e-3)
    assert sum(count for _, _, count in ranking.joint_positive) == sum(positive for positive, _, _ in rows)


def test_multiclass_and_regression_have_their_own_losses() -> None:
    classes = ("a", "b", "c")
    labels = Labels(numeric_spec(3, task="multiclass", classes=classes, window=3600), table_spec(3))
    one = said("1", 0.5, label="a", probabilities={"a": 0.5, "b": 0.3, "c": 0.2})
    two = said("2", 0.6, label="b", probabilities={"a": 0.2, "b": 0.6, "c": 0.2}, shadow=True)
    labels.send(labelled(0, "b", 0, 0, answers=(one, two)))
    values = (said("1", 8.0, label=None), said("2", 11.0, label=None, shadow=True))
    labels.send(labelled(1, 10.0, 0, 0, model="table", answers=values))
    of = {report.model: report.judged for report in labels.reports()}
    assert of["demo"].brier.total == pytest.approx(0.78 / 2 - 0.24 / 2, abs=1e-8)
    assert of["demo"].log_loss.total == pytest.approx(math.log(0.6 / 0.3), abs=1e-8)
    assert (of["table"].wins, of["table"].relative_error.total) == (1, pytest.approx(1 / 3, abs=1e-8))
    assert (of["table"].champion.absolute_error, of["table"].candidate.squared_error) == (2.0, 1.0)


def test_bad_records_are_dead_letters_and_strange_truths_are_left_out() -> None:
    labels = Labels()
    good = labelled(0, "yes", 0.6, 0.7)
    labels.send(b"{", good, labelled(1, "maybe", 0.6, 0.7), labelled(2, 0.5, 0.6, 0.7, model="nobody"))
    assert labels.judged().pairs == 1
    (letters,) = labels.letters
    assert letters.values == [b"{"]
    assert [r.error for h in letters.headers or () if (r := read_dead_letter(h))] == ["DecodeError"]


def test_a_label_counts_for_the_comparison_that_its_answer_belongs_to() -> None:
    def answers(basis: int) -> tuple[Answer, ...]:
        return said("1", 0.5), said("2", 0.9, shadow=True, basis=basis)

    labels = Labels()
    early = labelled(0, "no", 0, 0, answers=answers(3))
    labels.send(early, labelled(1, "yes", 0, 0, answers=answers(9)))
    # The correction of an old pair takes back from the old comparison, not from the new one.
    labels.send(labelled(0, "yes", 0, 0, answers=answers(3), replaces=early))
    found = {report.basis: report.judged for report in labels.reports()}
    assert {basis: (j.pairs, j.wins, j.losses) for basis, j in found.items()} == {3: (1, 1, 0), 9: (1, 1, 0)}


def test_labels_of_a_model_without_a_contract_are_counted() -> None:
    labels = Labels()
    labels.send(labelled(0, "yes", 0.5, 0.9, model="stranger"), labelled(1, "yes", 0.5, 0.9))
    assert labels.judged().pairs == 1
    samples = [s for metric in labels.collectors.collect() for s in metric.samples if s.value]
    (found,) = [s for s in samples if s.name == "driftline_shadow_labels_passed_over_total"]
    assert (found.labels["model"], found.value) == ("stranger", 1.0)
