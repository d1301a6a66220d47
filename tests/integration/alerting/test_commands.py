"""``driftline alerts ...`` as a person types them, with the service running."""

from __future__ import annotations

import asyncio
import sys

import pytest
from click.testing import CliRunner

from services.cli.__main__ import main
from shared.messages import InferenceReport
from shared.reports import decode_report
from tests.integration.alerting.conftest import RULE, Stage
from tests.processes import service
from tests.reports import inference
from tests.streams import read_all, until

pytestmark = pytest.mark.kafka

CASES = """
rules: rules.yml
tests:
  - name: a model that fails is said once, and its end
    reports: reports.jsonl
    expect:
      - {rule: failing, model: m, severity: critical, summary: m fails on 16.7 %, after: 0s}
      - {rule: failing, status: resolved, after: 1m}
  - name: nothing came
    reports: []
"""


async def driftline(stage: Stage, *arguments: str, code: int = 0) -> str:
    """What is printed; in this process, since most of a command's time is Python starting."""

    def run() -> str:
        with CliRunner().isolation(env=dict(stage.settings)) as (_, _, out):
            sys.argv = ["driftline", *arguments]
            with pytest.raises(SystemExit) as ended:
                main()
        printed = out.getvalue().decode()
        assert (ended.value.code or 0) == code, printed
        return printed

    return await asyncio.to_thread(run)


async def offset_of_the_report(stage: Stage) -> int:
    """Where the report of the failures lies in partition 1, among the service's own heartbeats."""
    records = (await read_all(stage.client, stage.topics.reports))[1]
    (found,) = (
        record.offset for record in records if isinstance(decode_report(record.value), InferenceReport)
    )
    return int(found)


async def test_list_show_silence_redeliver_and_test_receiver(stage: Stage) -> None:
    stage.write_rules(RULE, RULE | {"name": "waiting", "for": "1h"})
    stage.receiver.answers[:] = [400]
    with service("alerting", stage.folder, stage.settings) as alerting:
        await alerting.ready()
        assert "0 firing, 0 pending, 0 over" in await driftline(stage, "alerts", "list")
        await stage.report(inference("m", failures=200))
        given_up = 'driftline_notifications_total{outcome="given-up",receiver="hook"}'
        await until(lambda: _is(alerting.metric(given_up), 1), what="the notification to be given up")
        listed = await driftline(stage, "alerts", "list")
        assert "1 firing, 1 pending, 0 over; notifications: 0 delivered, 0 waiting, 1 given up" in listed
        assert "m fails on 16.7 %" in listed
        alert_id = (await stage.alerts())[0].alert_id
        shown = await driftline(stage, "alerts", "show", alert_id[:8])
        assert "failure_ratio" in shown
        offset = await offset_of_the_report(stage)
        assert f"report:       {stage.topics.reports} 1:{offset}" in shown
        assert "given-up" in shown
        assert "HTTP 400: as told" in shown
        lettered = await driftline(stage, "dead-letters", "list", "--error", "NotDelivered", "--json")
        assert "hook was not told that failing is firing (m fails on 16.7 %): in 1 attempt" in lettered
        again = await driftline(stage, "alerts", "redeliver", "--receiver", "hook")
        assert again == "1 notification goes out again, under the same key\n"
        await until(lambda: len(stage.receiver.taken) == 1, what="the notification")
        assert stage.receiver.taken[0].key == stage.receiver.requests[0].key
        nothing = await driftline(stage, "alerts", "redeliver", code=1)
        assert "there is nothing to send again" in nothing
        mistyped = await driftline(stage, "alerts", "silence", "--match", "modle=*", code=1)
        assert "--match modle: no alert has such a label" in mistyped
        assert "did you mean model?" in mistyped
        silenced = await driftline(
            stage,
            "alerts",
            "silence",
            "--match",
            "model=n*",
            "--for",
            "10m",
            "-m",
            "moving",
            "--name",
            "move",
        )
        assert silenced.startswith("silence move on model=n* for 10 min, by ")

        async def known() -> bool:
            return "silence move on model=n*" in await driftline(stage, "alerts", "list")

        await until(known, what="the silence")  # a command travels beside the reports, not before them
        await stage.report(inference("n", failures=200))
        await until(
            lambda: _is(alerting.metric('driftline_alerts{status="silenced"}'), 1), what="the silenced alert"
        )
        assert len(stage.receiver.taken) == 1
        assert await driftline(stage, "alerts", "silence", "--end", "move") == "silence move ends\n"
        await until(lambda: len(stage.receiver.taken) == 2, what="the alert that is no longer silenced")
        tried = await driftline(
            stage, "alerts", "test-receiver", "hook", "--rules", str(stage.folder / "rules.yml")
        )
        assert tried == "hook took it (driftline)\n"
        assert stage.receiver.taken[-1].notification().alert.summary.endswith("nothing is wrong")


async def _is(metric: object, value: float) -> bool:
    return await metric == value  # type: ignore[misc]


async def test_rules_are_recorded_checked_and_tested(stage: Stage) -> None:
    rules = stage.folder / "rules.yml"
    assert (
        await driftline(stage, "alerts", "rules", "check", str(rules))
        == f"{rules}: 1 rules hold, receivers: hook\n"
    )
    await stage.report(inference("m", failures=200), inference("m", minute=1))
    recorded = await driftline(stage, "alerts", "rules", "record", "--since", "2023-01-01T00:00:00Z")
    (stage.folder / "reports.jsonl").write_text(recorded)
    cases = stage.folder / "tests.yml"
    cases.write_text(CASES)
    outcome = await driftline(stage, "alerts", "rules", "test", str(cases))
    assert outcome.splitlines()[-1] == "2 passed, 0 failed"
    cases.write_text(
        CASES.replace("16.7 %", "20 %")
        .replace("after: 1m", "after: 2m")
        .replace("reports: []", "reports: reports.jsonl")
    )
    outcome = await driftline(stage, "alerts", "rules", "test", str(cases), code=1)
    assert "alert 1: summary is 'm fails on 16.7 %', not 'm fails on 20 %'" in outcome
    assert "alert 2: it changed after 60 s, not 2m" in outcome
    assert "unexpected: firing failing after 0 s: m fails on 16.7 %" in outcome
    assert outcome.splitlines()[-1] == "0 passed, 2 failed"
    rules.write_text("rules:\n  - name: x\n    reports: inference\n    figure: errrors\n    above: 1\n")
    wrong = await driftline(stage, "alerts", "rules", "check", str(rules), code=2)
    assert f'driftline: {rules}:4: rules[0].figure: "errrors": there is no figure' in wrong
