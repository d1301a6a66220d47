"""Every built-in rule: what it fires on, what it leaves alone, and that no other one fires with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from shared.alerting.rule_tests import run
from shared.alerting.rules_file import by_name, load_rules, parse_rules
from shared.messages import (
    DecisionReport,
    DriftReport,
    PerformanceReport,
    Report,
    ServiceReport,
    ShadowReport,
    Window,
)
from shared.messages.drift import DriftAlarm, DriftChannel, DriftMoment
from shared.messages.performance import KpiSums, LabelCounts, Realised
from shared.messages.scoring import Source
from shared.messages.shadow import Comparison, Judged, Sums
from tests.reports import MINUTE, T0, inference, service

Reports = list[Report | ServiceReport]
HOUR = 60 * MINUTE
START = T0 - T0 % HOUR


def minutes(**fields: Any) -> Reports:
    """Four windows of a minute."""
    return [inference(minute=minute, second=30, **fields) for minute in range(4)]


def beats(seconds: int, name: str = "drift", **fields: Callable[[int], Any]) -> Reports:
    """A process that reports every five seconds what it has after so many."""
    return [
        service(name, T0 + second * 1000, **{field: at(second) for field, at in fields.items()})
        for second in range(0, seconds + 1, 5)
    ]


def where(window: int = 0, version: str = "1") -> dict[str, Any]:
    start = START + window * HOUR
    return {
        "model": "m", "model_version": version, "window": Window(start=start, end=start + HOUR),
        "source_topic": "events", "partition": 0, "first_offset": 0, "next_offset": 10,
        "written_at": start + HOUR,
    }  # fmt: skip


def drift(*, on: bool, active: bool = True) -> Reports:
    moment = DriftMoment(events=9, occurred_at=1, source=Source("events", 0, 9))
    alarm = DriftAlarm(change="location", detail="+1 sd", evidence=7.0, raised=moment, change_point=moment)
    channel = DriftChannel(name="x", kind="numeric", source="features", alarm=alarm if on else None)
    return [DriftReport(**where(), events=9, active=active, channels=(channel,))]


def classified(window: int, **fields: Any) -> PerformanceReport:
    """A window of 2,000 labels, 200 of them positive, which the highest of three bins holds."""
    usual = {
        "labels": 2_000, "predictions": 2_000, "correct": 1_900, "labelled": (1_500, 300, 200),
        "positives": (10, 40, 150), "log_loss": Sums(n=2_000, total=200.0),
    }  # fmt: skip
    return PerformanceReport(
        **where(window), task="binary", horizon=1, edges=(0.2, 0.5), threshold=0.5, positive="yes",
        labels=LabelCounts(), quality=Realised(**usual | fields),
    )  # fmt: skip


def regressed(window: int, error: float) -> PerformanceReport:
    quality = Realised(labels=2_000, predictions=2_000, absolute_error=Sums(n=2_000, total=2_000 * error))
    return PerformanceReport(
        **where(window), task="regression", horizon=1, labels=LabelCounts(), quality=quality
    )


def turned(usual: Callable[[int], PerformanceReport], then: Callable[[int], PerformanceReport]) -> Reports:
    """Twelve windows as usual, then two of another kind."""
    return [usual(window) if window < 12 else then(window) for window in range(14)]


def judged(gain: float) -> Reports:
    pairs = Judged(pairs=500, brier=Sums(n=500, total=500 * gain, squares=500 * (gain**2 + 0.01)))
    return [
        ShadowReport(
            **where(version="2"), champion_version="1", comparison=Comparison(both=500), judged=pairs
        )
    ]


def compared(missing: int) -> Reports:
    comparison = Comparison(both=1_000 - missing, champion_only=missing)
    return [ShadowReport(**where(version="2"), champion_version="1", comparison=comparison)]


def decided(decision: Any) -> Reports:
    return [
        DecisionReport(
            **where(), decision=decision, revision=3, who="gates", reason="errors", other_version="0"
        )
    ]


CASES: dict[str, tuple[Reports, Reports, str]] = {
    "prediction-failures": (minutes(failures=20), minutes(failures=5), "m 1 fails on 1.96 %"),
    "dead-letter-rate": (minutes(refused=100), minutes(refused=40), "9.09 % of the events of m are refused"),
    "latency-p99": (
        minutes(latency=(0, 0, 0, 1_000, 0)), minutes(latency=(0, 995, 0, 5, 0)), "waits 9.91 s or more"
    ),
    "lag": (
        beats(90, lag=lambda _: {"events": 20_000}),
        beats(90, lag=lambda at: {"events": max(0, 400 * (70 - at))}),
        "drift is 20,000 records behind on events",
    ),
    "service-failures": (
        beats(600, prediction_failures=lambda at: at), beats(600, prediction_failures=lambda _: 9_000),
        "in drift a model failed on",
    ),
    "service-dead-letters": (
        beats(600, "performance", dead_letters=lambda at: {"ValidationError": at // 10}),
        beats(600, "inference", dead_letters=lambda at: {"ValidationError": at // 10}),
        "performance writes 0.02",
    ),
    "service-gone": (
        beats(30), [*beats(30), service(at=T0 + 30_001, stopping=True)], "no sign of life from drift for 30 s"
    ),
    "service-not-ready": (
        beats(125, not_ready=lambda _: {"kafka": "away"}),
        beats(125, not_ready=lambda at: {} if at == 60 else {"kafka": "away"}),
        "drift is not ready: away",
    ),
    "model-load-failed": (
        beats(5, model_trouble=lambda _: {"m": "damaged"}), beats(5, model_load_failures=lambda _: 3),
        "the former version serves on: m: damaged",
    ),
    "registry-away": (
        beats(40, registry_up=lambda _: False), beats(40, registry_up=lambda at: at > 20),
        "(processes that say so: 1)",
    ),
    "drift": (
        drift(on=True), [*drift(on=False), *drift(on=True, active=False)], "x of m has drifted (location)"
    ),
    "quality-drop": (
        turned(classified, lambda window: classified(window, correct=1_500)),
        turned(classified, lambda window: classified(window, correct=1_800)),
        "accuracy of m 1 fell to 75 % from 95 %",
    ),
    "auc-drop": (
        turned(classified, lambda window: classified(window, positives=(150, 30, 20))),
        # 80 labels of the rarer class: too few to tell
        turned(
            lambda window: classified(window, positives=(4, 16, 60)),
            lambda window: classified(window, positives=(60, 12, 8)),
        ),
        "AUC of m 1 fell to 0.5",
    ),
    "log-loss-rise": (
        turned(classified, lambda window: classified(window, log_loss=Sums(n=2_000, total=320.0))),
        turned(classified, lambda window: classified(window, log_loss=Sums(n=2_000, total=280.0))),
        "log loss of m 1 rose to 0.16 from 0.1",
    ),
    "error-rise": (
        turned(lambda window: regressed(window, 4.0), lambda window: regressed(window, 5.5)),
        turned(lambda window: regressed(window, 4.0), lambda window: regressed(window, 4.8)),
        "mean absolute error of m 1 rose to 5.5 from 4",
    ),
    "shadow-regression": (judged(-0.05), judged(-0.01), "candidate 2 of m is worse than its champion 1"),
    "shadow-without-answers": (compared(20), compared(5), "candidate 2 of m gives no answer to 2 %"),
    "rolled-back": (decided("rolled-back"), decided("promoted"), "m 1 was rolled back by rule: errors"),
    "candidate-refused": (
        decided("refused"), decided("promoted"), "candidate 1 of m was refused by rule: errors"
    ),
    "canary-paused": (
        decided("canary-paused"), decided("canary-step"), "canary 1 of m answers no traffic any more, by rule"
    ),
}  # fmt: skip


def test_every_built_in_rule_has_a_case() -> None:
    assert set(CASES) == set(by_name(load_rules().conditions))


def fired(reports: Reports, then: int = 0) -> list[tuple[str, str]]:
    return [(one.rule, one.summary) for one in run(load_rules(), reports, then) if one.status == "firing"]


@pytest.mark.parametrize("rule", CASES)
def test_it_fires_on_what_it_is_for_alone_and_says_the_reason(rule: str) -> None:
    bad, good, reason = CASES[rule]
    then = 31_000 if rule == "service-gone" else 0
    ((name, summary),) = fired(bad, then)
    assert name == rule
    assert reason in summary
    assert "?" not in summary, "something was not filled in"
    assert fired(good, then) == []


def test_a_rare_class_that_is_never_found_any_more_is_no_matter_of_accuracy() -> None:
    """One in a hundred: who always says no is right 99 times, and no rule on accuracy hears of it."""
    rare: dict[str, Any] = {
        "labels": 20_000,
        "predictions": 20_000,
        "correct": 19_850,
        "labelled": (18_000, 1_900, 100),
    }
    lost = turned(
        lambda window: classified(window, **rare, positives=(20, 80, 100)),
        lambda window: classified(window, **rare | {"correct": 19_800}, positives=(180, 19, 1)),
    )
    assert [name for name, _ in fired(lost)] == ["auc-drop"]


def test_what_the_scores_promise_is_a_figure_before_any_label_comes() -> None:
    rule = {
        "name": "promised", "reports": "performance", "figure": "estimated_accuracy", "below": 0.8,
        "min_count": 500, "count": "predictions", "summary": "{value:percent}",
    }  # fmt: skip
    rulebook = parse_rules(yaml.safe_dump({"defaults": False, "rules": [rule]}), "test")

    def scored(window: int, expected: tuple[float, ...]) -> PerformanceReport:
        return classified(
            window,
            labels=0,
            labelled=(),
            positives=(),
            log_loss=None,
            scores=(900, 0, 100),
            expected=expected,
        )

    came = run(rulebook, [scored(0, (45.0, 0.0, 80.0)), scored(1, (300.0, 0.0, 60.0))], 0)
    assert [(one.status, one.summary) for one in came] == [("firing", "66 %")]


def test_a_business_figure_below_what_was_usual_fires() -> None:
    rule = {
        "name": "margin", "reports": "kpi", "where": {"kpi": "margin"}, "figure": "mean", "below": 0.8,
        "relative_to": {"windows": 5, "at_least": 3}, "min_count": 100,
        "summary": "{kpi} of {model} fell to {mean} from {baseline} ({events} outcomes)",
    }  # fmt: skip
    rulebook = parse_rules(yaml.safe_dump({"defaults": False, "rules": [rule]}), "test")

    def window(number: int, mean: float, n: int = 400) -> PerformanceReport:
        kpis = {"margin": KpiSums(value=Sums(n=n, total=n * mean)), "other": KpiSums(value=Sums(n=n))}
        return PerformanceReport(
            **where(number), task="binary", horizon=1, labels=LabelCounts(), quality=Realised(), kpis=kpis
        )

    means = [10.0, 10.2, 9.8, 9.0, 7.5, 10.0]
    reports: Reports = [window(number, mean) for number, mean in enumerate(means)]
    reports.append(window(6, 1.0, n=50))
    came = run(rulebook, reports, 0)
    assert [(one.status, one.labels["model"]) for one in came] == [("firing", "m"), ("resolved", "m")]
    assert came[0].summary == "margin of m fell to 7.5 from 9.9 (400 outcomes)"
