"""``driftline performance status|report``: tables, JSON and page, of final windows where there are any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from services.cli import performance_reading as reading
from services.cli.performance import report as report_command
from services.cli.performance import status
from services.cli.performance_compare import differences
from services.cli.performance_json import as_json
from services.cli.performance_page import performance_page
from services.cli.performance_reading import VersionQuality, quality_of
from services.cli.performance_view import trust
from shared.messages import (
    DriftAlarm,
    DriftMoment,
    KpiSums,
    LabelCounts,
    PerformanceReport,
    Realised,
    Source,
    Sums,
    Window,
)
from shared.quality.estimate import estimated
from shared.reports import AnyReport

HOUR = 3_600_000
START = 400_000 * HOUR


def window(
    hour: int, *, version: str = "1", final: bool = True, n: int = 4_000, mean: float = 0.5, **more: Any
) -> PerformanceReport:
    """An hour of a version: ``n`` answers, of which nine of ten are right, and a KPI of 0 and 1."""
    labels = n if final else n // 20
    quality = Realised(
        predictions=n,
        labels=labels,
        correct=labels * 9 // 10,
        scores=(n // 2, n // 2),
        expected=(n * 0.05, n * 0.45) if final else (n * 0.1, n * 0.4),
        labelled=(labels // 2, labels // 2),
        positives=(labels // 20, labels * 9 // 20),
        confusion={
            "no": {"no": labels * 9 // 20, "yes": labels // 20},
            "yes": {"no": labels // 20, "yes": labels * 9 // 20},
        },
        log_loss=Sums(n=labels, total=0.3 * labels, squares=0.2 * labels),
    )
    value = Sums(n=labels, total=mean * labels, squares=mean * labels)
    kpi = KpiSums(value=value, if_positive=(0.0, labels * 1.0), if_negative=(labels * 1.0, 0.0))
    given: dict[str, Any] = {
        "model": "m", "model_version": version, "source_topic": "log", "partition": 0, "first_offset": 0,
        "window": Window(start=START + hour * HOUR, end=START + (hour + 1) * HOUR), "next_offset": hour + 1,
        "written_at": hour, "final": final, "task": "binary", "horizon": 4 * HOUR, "edges": (0.5,),
        "threshold": 0.5, "positive": "yes", "answered": n, "labels": LabelCounts(joined=labels),
        "quality": quality, "segments": {"carrier": {"UA": quality}}, "kpis": {"sale": kpi},
    }  # fmt: skip
    return PerformanceReport(**(given | more))


def one(*reports: PerformanceReport) -> VersionQuality:
    (version,) = quality_of(reports)
    return version


def test_kpis_rest_on_final_windows_alone() -> None:
    """While a horizon is open only the sales have come: 100 % conversion, and no end to it."""
    version = one(window(0, mean=0.125), window(1, final=False, mean=1.0))
    (told,) = as_json([version], [])
    assert (told["kpis"]["sale"]["value"], told["kpis"]["sale"]["n"]) == (0.125, 4_000)
    assert told["provisional"] is False
    assert [w["kpis"]["sale"]["value"] for w in told["windows"]] == [0.125, 1.0]
    (provisional,) = as_json([one(window(1, final=False, mean=1.0))], [])
    assert provisional["provisional"] is True
    assert provisional["kpis"]["sale"]["n"] == 200


def test_versions_are_compared_over_the_final_windows_in_which_both_answered() -> None:
    """The canary came on a bad day, on which it was better; before it, the champion had had good ones."""
    versions = quality_of(
        [
            window(0, mean=0.9),
            window(1, mean=0.9),
            window(2, mean=0.2),
            window(2, version="2", mean=0.4),
            window(3, mean=0.9, final=False),
            window(3, version="2", mean=1.0, final=False),
            window(4, version="2", mean=1.0),
        ]
    )
    (found,) = differences(versions)
    assert (found.version, found.against, found.windows, found.verdict) == ("2", "1", 1, "better")
    assert found.figure.value == pytest.approx(0.2)
    by_version = {told["model_version"]: told["differences"] for told in as_json(versions, [found])}
    assert by_version["1"] == []
    assert [(d["kpi"], d["against"], d["champion"], d["n"]) for d in by_version["2"]] == [
        ("sale", "1", False, 8_000)
    ]


def test_the_champion_is_what_versions_are_compared_with_whoever_answered_most() -> None:
    versions = quality_of([window(0, version="9", n=4_000), window(0, version="10", n=8_000)])
    assert [d.against for d in differences(versions)] == ["10"]
    for version in versions:
        version.champion = version.version == "9"
    (found,) = differences(versions)
    assert (found.version, found.against, found.champion) == ("10", "9", True)


def test_nothing_is_compared_before_a_window_of_both_is_final() -> None:
    versions = quality_of([window(0), window(1, final=False), window(1, version="2", final=False)])
    assert differences(versions) == []


def test_open_windows_have_an_estimate_of_their_own() -> None:
    version = one(window(0), window(1, final=False))
    (told,) = as_json([version], [])
    assert told["estimated"]["accuracy"]["value"] == estimated(window(0))["accuracy"].value
    fresh = told["estimated_open"]
    assert fresh["estimated"]["accuracy"]["value"] == estimated(window(1, final=False))["accuracy"].value
    assert (fresh["start"], fresh["predictions"], fresh["labels"]) == (START + HOUR, 4_000, 200)
    assert as_json([one(window(0))], [])[0]["estimated_open"] is None


def test_reports_with_other_bins_are_left_out_and_said_to_be() -> None:
    version = one(window(0, edges=(0.4,), partition=1), window(0), window(1))
    assert (version.left_out, version.every.quality.predictions) == (1, 8_000)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[AnyReport]:
    """What the reports topic holds; nobody knows the champion."""
    given: list[AnyReport] = []

    async def latest(_connection: object) -> list[AnyReport]:
        return given

    async def champions(_connection: object, _models: object) -> dict[str, str | None]:
        return {"m": "2"}

    monkeypatch.setattr(reading, "latest_reports", latest)
    monkeypatch.setattr(reading, "_champions", champions)
    monkeypatch.setenv("DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS", "localhost:1")
    return given


def run(command: Any, *arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, catch_exceptions=False, env={"COLUMNS": "240"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_status_is_a_line_per_version(reports: list[AnyReport]) -> None:
    reports += [window(0, orphans=3), window(1, final=False, orphans=1_234)]
    reports += [window(1, version="2", final=False, n=400, orphans=1_234), window(0, partition=1, orphans=1)]
    lines = run(status).splitlines()
    assert lines[-1].startswith("1,235 labels and outcomes, of whatever model, found no prediction")
    first, second = (next(line for line in lines if line.split()[:2] == ["m", v]) for v in ("1", "2"))
    assert "final" in first
    assert "provisional" in second
    assert "sale 0.5" in first
    told = json.loads(run(status, "m", "--json"))
    assert [(v["model_version"], v["champion"]) for v in told] == [("1", False), ("2", True)]


def test_a_report_has_figures_kpis_segments_and_differences(reports: list[AnyReport], tmp_path: Path) -> None:
    reports += [window(0), window(0, version="2", mean=0.75), window(1, final=False)]
    text = run(report_command, "m")
    for expected in (
        "accuracy",
        "0.9",
        "sale",
        "carrier",
        "2, champion",
        "worse",
        "open windows",
        "1 of 2 are final",
    ):
        assert expected in text, expected
    page = tmp_path / "page.html"
    run(report_command, "m", "--html", str(page))
    html = page.read_text()
    assert html.count("<img") + html.count("<svg") >= 3
    assert "2, champion" in html
    told = json.loads(run(report_command, "m", "1", "--json"))
    assert [v["model_version"] for v in told] == ["1"]
    assert told[0]["differences"][0]["value"] == pytest.approx(-0.25)


def test_a_regression_has_no_estimates_and_tells_when_its_errors_move(
    reports: list[AnyReport], tmp_path: Path
) -> None:
    """The alarm is that of the channel label given score, as the performance service reports it."""
    error = Sums(n=4_000, total=8_000.0, squares=20_000.0)
    quality = Realised(predictions=4_000, labels=4_000, absolute_error=error)
    reports += [window(0, task="regression", edges=(), threshold=None, positive=None, kpis={}, segments={},
                       quality=quality)]  # fmt: skip
    text = run(report_command, "m")
    assert "MAE" in text
    assert "estimate" not in text
    assert "4,000" in text
    assert " - " in next(line for line in run(status).splitlines() if line.split()[:2] == ["m", "1"])
    version = quality_of(reports)[0]
    assert trust(version) == ""
    version.concept_evidence, version.concept_threshold = 1.0, 6.0
    assert trust(version) == "errors: label given score is quiet (evidence 1 of 6)"
    moment = DriftMoment(events=1, occurred_at=START, source=Source("log", 0, 1))
    version.concept = DriftAlarm(
        change="concept", detail="residual mean +0.64 sd", evidence=7.0, raised=moment, change_point=moment,
        explanation="errors",
    )  # fmt: skip
    assert trust(version) == "errors have moved: residual mean +0.64 sd, found by label given score"
    performance_page([version], []).write(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Errors have moved: residual mean +0.64 sd" in page
    assert "estimated" not in page
