"""Every panel's query, run on a real Prometheus that scrapes the running services under traffic."""

from __future__ import annotations

import asyncio
import functools
import json
import math
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.dashboards.__main__ import FOLDER, stale
from devstack.prometheus import Prometheus
from tests.integration.inference.conftest import Stage
from tests.integration.monitoring.lines import broken
from tests.integration.monitoring.test_rules import RULES
from tests.integration.monitoring.world import SERVICES, World, running
from tests.processes import ServiceProcess
from tests.streams import until

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


EMPTY_WHEN_WELL = ("driftline-overview: Critical alerts A",)
"""Queries whose series this world does not provide: only their ``or vector(0)`` returns a number."""


def without_data(prometheus: Prometheus, queries: list[tuple[str, str]]) -> list[str]:
    """The queries that return no number; one that falls back on zero must do without."""
    missing = []
    for where, panel in queries:
        asked = panel if where in EMPTY_WHEN_WELL else panel.removesuffix(" or vector(0)")
        expression = functools.reduce(lambda text, item: text.replace(*item), VARIABLES.items(), asked)
        samples = prometheus.query(expression)
        if not any(math.isfinite(float(sample["value"][1])) for sample in samples):
            missing.append(f"{where}: {expression}")
    return missing


@pytest.mark.kafka
@pytest.mark.timeout(500)
async def test_every_panel_returns_data_and_promtool_likes_what_is_scraped(
    stage: Stage, monitoring: dict[str, str]
) -> None:
    async with running(stage) as world:
        addresses = {name: process.url.removeprefix("http://") for name, process in world.services.items()}
        targets = {f"driftline-{name}": [address] for name, address in addresses.items()}
        rules = [RULES / "recording.yml", RULES / "alerts.yml"]
        with Prometheus(targets, rule_files=rules) as prometheus:
            await all_panels_return_data(prometheus)
            assert prometheus.query("sum(driftline_performance_orphans) > 0")
            for control in ("driftline_no_such_metric", "sum(driftline_no_such_metric) or vector(0)"):
                assert without_data(prometheus, [("control", control)])
            assert [rule for rule in prometheus.rules() if rule["health"] != "ok"] == []
            firing = {alert["labels"]["alertname"] for alert in prometheus.alerts()}
            assert {"DriftlineWatchdog", "DriftlineDrift"} <= firing
        await the_page_says_the_same(world.services["alerting"])
        every_line_carries_what_it_should(world)
        for process in world.services.values():
            await nothing_to_say(monitoring["promtool"], process.url)


async def the_page_says_the_same(alerting: ServiceProcess) -> None:
    status, page = await alerting.get("/")
    assert status == 200
    assert '<a href="/runbooks/drift">drift</a>' in page
    assert "of demo has drifted" in page, page
    assert all(f"<td>{name}</td>" in page for name in SERVICES)
    assert (await alerting.get("/runbooks/drift"))[0] == 200
    assert (await alerting.get("/runbooks/nobody"))[0] == 404


REFUSING = ("inference", "performance")


def every_line_carries_what_it_should(world: World) -> None:
    """Of one drift alarm every line is in one trace, over two services and at the receiver."""
    lines = [line for process in world.services.values() for line in process.log_lines()]
    assert [found for line in lines if (found := broken(line))] == []
    of = {line["event"]: line for line in lines}
    assert {"record not counted", "model swapped in", "model watched", "candidates changed"} <= of.keys()
    for name in REFUSING:
        refused = [one for one in world.services[name].log_lines() if one["event"] == "record refused"]
        assert refused
        assert {one["trace_id"] for one in refused} == {"a" * 32}
    alarms = {line["trace_id"]: line for line in lines if line["event"] == "drift alarm"}
    told = [one for one in world.receiver.taken if one.notification().alert.rule == "drift"]
    assert told
    for one in told:
        trace = one.headers["traceparent"].split("-")[1]
        alarm = alarms[trace]
        mine = [line for line in lines if line.get("trace_id") == trace]
        assert {"drift alarm", "alert firing", "notification delivered"} <= {line["event"] for line in mine}
        assert {(line["model"], line["model_version"]) for line in mine} == {("demo", alarm["model_version"])}


async def all_panels_return_data(prometheus: Prometheus) -> None:
    missing: list[str] = []

    async def all_there() -> bool:
        missing[:] = await asyncio.to_thread(without_data, prometheus, list(panels()))
        return not missing

    try:
        await until(all_there, seconds=240, every=2.0)
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
