"""Prometheus and Alertmanager: scraping, rules, alerts on their way, and what is said without them."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from devstack import debian
from devstack.alertmanager import Alertmanager
from devstack.errors import DevstackError
from devstack.prometheus import Prometheus
from tests.streams import until

pytestmark = pytest.mark.usefixtures("monitoring")


async def test_an_alert_goes_from_a_rule_through_alertmanager_to_a_webhook(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{name: g, rules: [{alert: Always, expr: vector(1)}]}]")
    with (
        receiver() as (url, posted),
        Alertmanager(url) as alertmanager,
        Prometheus(
            {"alertmanager": [alertmanager.address]},
            rule_files=[rules],
            alertmanagers=[alertmanager.address],
            scrape_interval=0.2,
        ) as prometheus,
    ):
        await until(lambda: bool(prometheus.query("up == 1")), what="the scrape")
        await until(lambda: bool(posted), what="the webhook")
        assert [alert["labels"]["alertname"] for alert in posted[0]["alerts"]] == ["Always"]
        assert alertmanager.alerts()[0]["status"]["state"] == "active"
        assert prometheus.alerts()[0]["state"] == "firing"
        assert prometheus.rules()[0]["health"] == "ok"


def test_alertmanager_keeps_its_alerts_over_a_stop_and_refuses_nonsense(tmp_path: Path) -> None:
    with Alertmanager(data_dir=tmp_path) as alertmanager:
        url = alertmanager.url
        with pytest.raises(DevstackError, match="400"):
            alertmanager.post([{"labels": {}}])
        alertmanager.post([{"labels": {"alertname": "Drift", "model": "flights"}}])
        assert alertmanager.alerts()[0]["labels"]["model"] == "flights"
        alertmanager.kill()
        alertmanager.start()
        assert alertmanager.url == url
        assert alertmanager.alerts() == []


def test_a_query_that_is_none_is_refused_with_the_reason() -> None:
    with Prometheus({}) as prometheus, pytest.raises(DevstackError, match="unclosed left parenthesis"):
        prometheus.query("sum(")


def test_without_the_programs_the_message_names_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        DevstackError, match="apt install prometheus-alertmanager; as root, `make monitoring`"
    ):
        debian.find_program("amtool")
    with pytest.raises(DevstackError, match="prometheus and prometheus-alertmanager takes apt-get and root"):
        debian.install_programs()


def test_daemons_are_not_started_and_the_policy_goes_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(debian, "POLICY", tmp_path / "policy-rc.d")
    with debian._no_daemon_starts():
        assert subprocess.run([debian.POLICY, "prometheus", "start"], check=False).returncode == 101
    assert not debian.POLICY.exists()
    debian.POLICY.write_text("the administrator's")
    with debian._no_daemon_starts():
        pass
    assert debian.POLICY.read_text() == "the administrator's"


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook receiver that keeps what is posted."""
    posted: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", posted
        finally:
            server.shutdown()
            thread.join()
