"""Every panel's query, run on a real Prometheus that scrapes the running services under traffic."""

from __future__ import annotations

import asyncio
import functools
import json
import math
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import yaml
from aiokafka import AIOKafkaProducer

from devstack.dashboards.__main__ import FOLDER, stale
from devstack.prometheus import Prometheus
from tests.integration.inference.conftest import Stage, good_event
from tests.integration.monitoring import reports
from tests.integration.monitoring.test_rules import RULES
from tests.processes import service
from tests.streams import produce, until
from tests.webhooks import WebhookReceiver

VARIABLES = {"$__rate_interval": "15s", "$model": ".*", "$service": ".*"}


def panels() -> Iterator[tuple[str, str]]:
    """Where a query is, and the query."""
    for path in sorted(FOLDER.glob("*.json")):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield f"{dashboard['uid']}: {panel['title']} {target['refId']}", target["expr"]


def test_the_checked_in_dashboards_are_what_the_code_says() -> None:
    assert stale() == [], "python -m devstack.dashboards --write"


def test_every_panel_has_a_query_a_description_and_its_own_place() -> None:
    for path in FOLDER.glob("*.json"):
        dashboard = json.loads(path.read_text())
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken
            assert place["x"] + place["w"] <= 24
            taken |= cells
            if panel["type"] != "row":
                assert panel["targets"]
                assert panel["description"]
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def without_data(prometheus: Prometheus, queries: list[tuple[str, str]]) -> list[str]:
    """The queries that return no number."""
    missing = []
    for where, panel in queries:
        expression = functools.reduce(lambda text, item: text.replace(*item), VARIABLES.items(), panel)
        samples = prometheus.query(expression)
        if not any(math.isfinite(float(sample["value"][1])) for sample in samples):
            missing.append(f"{where}: {expression}")
    return missing


def alerting_settings(stage: Stage, receiver: WebhookReceiver) -> dict[str, str]:
    """The default rules, and one receiver."""
    to = {"name": "hook", "url": receiver.url, "allow_http": True, "allow_private": True}
    rules = stage.folder / "rules.yml"
    rules.write_text(yaml.safe_dump({"receivers": [to]}))
    of_inference = {"DRIFTLINE_MODELS", "DRIFTLINE_REPORT_SECONDS"}
    shared = {name: value for name, value in stage.settings.items() if name not in of_inference}
    return shared | {"DRIFTLINE_ALERT_RULES": str(rules), "DRIFTLINE_SESSION_SECONDS": "6"}


@asynccontextmanager
async def traffic(stage: Stage) -> AsyncIterator[None]:
    """Events without end, one in fifty a bad one, and reports of services that do not run here."""
    producer = AIOKafkaProducer(**stage.client)
    await producer.start()
    for report in (reports.drift(), *reports.shadow(), reports.performance()):
        key, value = reports.record(report)
        await producer.send_and_wait(stage.topics.reports, value, key)
    await producer.stop()

    async def send() -> None:
        while True:
            bad = good_event("bad", occurred_at=now(), features={"f0": "x"})
            good = [(i % 3, good_event(f"e{i}", occurred_at=now())) for i in range(50)]
            await produce(stage.client, stage.topics.events, [*good, (0, bad)])
            await asyncio.sleep(0.2)

    sending = asyncio.create_task(send())
    try:
        yield
        assert not sending.done()
    finally:
        sending.cancel()
        await asyncio.wait([sending])


def now() -> int:
    return int(time.time() * 1000)


@pytest.mark.kafka
async def test_every_panel_returns_data_and_promtool_likes_what_is_scraped(
    stage: Stage, monitoring: dict[str, str]
) -> None:
    await stage.publish("1")
    async with WebhookReceiver() as receiver, AsyncExitStack() as stack:
        running = {
            "inference": stack.enter_context(service("inference", stage.folder, stage.settings)),
            "alerting": stack.enter_context(
                service("alerting", stage.folder, alerting_settings(stage, receiver))
            ),
        }
        for process in running.values():
            await process.ready()
        await stack.enter_async_context(traffic(stage))
        targets = {f"driftline-{name}": [p.url.removeprefix("http://")] for name, p in running.items()}
        rules = [RULES / "recording.yml", RULES / "alerts.yml"]
        prometheus = stack.enter_context(Prometheus(targets, rule_files=rules))
        await all_panels_return_data(prometheus)
        assert without_data(prometheus, [("control", "driftline_no_such_metric")])
        assert [rule for rule in prometheus.rules() if rule["health"] != "ok"] == []
        firing = {alert["labels"]["alertname"] for alert in prometheus.alerts()}
        assert {"DriftlineWatchdog", "DriftlineDrift"} <= firing
        status, page = await running["alerting"].get("/")
        assert status == 200
        assert '<a href="/runbooks/drift">drift</a>' in page
        assert "f0 of demo has drifted" in page
        assert (await running["alerting"].get("/runbooks/drift"))[0] == 200
        assert (await running["alerting"].get("/runbooks/nobody"))[0] == 404
        for process in running.values():
            await nothing_to_say(monitoring["promtool"], process.url)


async def all_panels_return_data(prometheus: Prometheus) -> None:
    missing: list[str] = []

    async def all_there() -> bool:
        missing[:] = await asyncio.to_thread(without_data, prometheus, list(panels()))
        return not missing

    try:
        await until(all_there, seconds=90, every=1.0)
    except AssertionError:
        assert missing == []  # names them


async def nothing_to_say(promtool: str, address: str) -> None:
    """Run ``promtool check metrics`` on what a service exposes."""

    def check() -> subprocess.CompletedProcess[Any]:
        with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:
            return subprocess.run(
                [promtool, "check", "metrics"], input=answer.read(), capture_output=True, check=False
            )

    done = await asyncio.to_thread(check)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), address
