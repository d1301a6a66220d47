"""Ports and paths that docker-compose.yml and the configuration files it mounts must agree on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack.compose.processes import scraped
from devstack.compose.reading import bind_mounts, read_compose
from tests.deploy.test_compose import RUNNING, SERVICES

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "monitoring"


def config(path: str) -> Any:
    return yaml.safe_load((MONITORING / path).read_text())


def words(name: str) -> list[str]:
    return [str(word) for word in SERVICES[name].get("command", [])]


def listeners(name: str) -> set[int]:
    """The ports that a service's program listens on: as its settings say, else its program's own."""
    service = SERVICES[name]
    given = {key: str(value) for key, value in service.get("environment", {}).items()}
    if name in RUNNING:
        return {int(given["DRIFTLINE_HTTP_PORT"])}
    if name == "kafka":
        return {int(port) for port in re.findall(r"://:(\d+)", given["KAFKA_LISTENERS"])}
    moved = [word for word in words(name) if re.match(r"--(web\.listen-address|bind)", word)]
    assert not moved, "the port is not its own any more: read it here"
    assert "GF_SERVER_HTTP_PORT" not in given
    if name == "mlflow":
        return {int(words(name)[words(name).index("--port") + 1])}
    if "--port" in words(name):
        return {int(words(name)[words(name).index("--port") + 1])}
    return {{"redis": 6379, "prometheus": 9090, "alertmanager": 9093, "grafana": 3000}[name]}


def published(name: str) -> dict[int, int]:
    """The ports of this machine by the container's."""
    pairs = [port.split(":")[1:] for port in SERVICES[name].get("ports", [])]
    return {int(inside): int(outside) for outside, inside in pairs}


PUBLISHED = sorted(name for name, service in SERVICES.items() if "ports" in service)


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_published_is_listened_on(name: str) -> None:
    assert set(published(name)) <= listeners(name)


def test_kafka_tells_clients_an_address_that_they_can_reach() -> None:
    settings = SERVICES["kafka"]["environment"]
    advertised = dict(part.split("://") for part in settings["KAFKA_ADVERTISED_LISTENERS"].split(","))
    listening = dict(part.split("://:") for part in settings["KAFKA_LISTENERS"].split(","))
    (inside,) = published("kafka")
    assert advertised["OUTSIDE"] == f"localhost:{published('kafka')[inside]}"
    assert int(listening["OUTSIDE"]) == inside
    assert advertised["INSIDE"] == f"kafka:{listening['INSIDE']}"
    for name in (*RUNNING, "topics"):
        assert SERVICES[name]["environment"]["DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS"] == advertised["INSIDE"]
    assert advertised["INSIDE"] in SERVICES["kafka"]["healthcheck"]["test"][1]
    voter = settings["KAFKA_CONTROLLER_QUORUM_VOTERS"]
    assert voter == f"{settings['KAFKA_NODE_ID']}@kafka:{listening['CONTROLLER']}"


def test_redis_is_asked_where_it_listens() -> None:
    (port,) = listeners("redis")
    for name in RUNNING:
        assert SERVICES[name]["environment"]["DRIFTLINE_REDIS_URL"] == f"redis://redis:{port}/0"


def test_prometheus_asks_where_services_and_alertmanager_listen() -> None:
    here = {f"{name}:{port}": port for name in RUNNING for port in listeners(name)}
    targets = scraped(MONITORING / "prometheus/prometheus.yml", here)
    assert targets == {f"driftline-{name}": [f"127.0.0.1:{min(listeners(name))}"] for name in RUNNING}
    with pytest.raises(KeyError):
        scraped(MONITORING / "prometheus/prometheus.yml", {"inference:8081": 8081})
    managers = config("prometheus/prometheus.yml")["alerting"]["alertmanagers"]
    (address,) = [
        target for one in managers for found in one["static_configs"] for target in found["targets"]
    ]
    assert address == f"alertmanager:{min(listeners('alertmanager'))}"


def test_alerting_tells_alertmanager_where_it_listens() -> None:
    (receiver,) = config("driftline/alerts.yml")["receivers"]
    assert receiver["url"].startswith(f"http://alertmanager:{min(listeners('alertmanager'))}/")


@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
def test_health_is_asked_where_it_listens(name: str) -> None:
    assert f"http://localhost:{min(listeners(name))}/-/ready" in SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
def test_its_configuration_file_is_mounted(name: str) -> None:
    (flag,) = [word for word in words(name) if word.startswith("--config.file=")]
    assert file_of(name, flag.partition("=")[2]).is_file()


def file_of(name: str, inside: str) -> Path:
    """The repository's file at a path in a container."""
    for mount, source in bind_mounts(SERVICES[name]).items():
        if Path(inside).is_relative_to(mount):
            return ROOT / source / Path(inside).relative_to(mount)
    raise AssertionError(f"{inside} is not mounted")


def test_grafana_finds_its_source_and_its_dashboards() -> None:
    (source,) = config("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == f"http://prometheus:{min(listeners('prometheus'))}"
    (provider,) = config("grafana/provisioning/dashboards/driftline.yml")["providers"]
    assert len(list(file_of("grafana", provider["options"]["path"]).glob("*.json"))) == 4
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert file_of("grafana", home).is_file()
    assert file_of("grafana", "/etc/grafana/provisioning/datasources").is_dir()


def test_links_to_runbooks_open_on_this_machine() -> None:
    (inside,) = listeners("alerting")
    public = SERVICES["alerting"]["environment"]["DRIFTLINE_PUBLIC_URL"]
    assert public == f"http://localhost:{published('alerting')[inside]}"


def test_the_rules_of_alerting_are_mounted() -> None:
    rules = SERVICES["alerting"]["environment"]["DRIFTLINE_ALERT_RULES"]
    assert file_of("alerting", rules).is_file()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("OUTSIDE://localhost:9092", "OUTSIDE://localhost:9093"),
        ("127.0.0.1:8080:8080", "127.0.0.1:8080:8081"),
        ("127.0.0.1:9090:9090", "127.0.0.1:9090:9091"),
        ('DRIFTLINE_HTTP_PORT: "8080"', 'DRIFTLINE_HTTP_PORT: "8081"'),
        ("driftline-overview.json", "driftline-over-view.json"),
        ("dashboards:/var/lib/grafana/dashboards", "dashboards:/var/lib/grafana/boards"),
    ],
)
def test_each_of_them_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: str, ours: str
) -> None:
    """A file in which one of them is wrong fails at least one of the tests above."""
    text = (ROOT / "docker-compose.yml").read_text()
    assert theirs in text
    (tmp_path / "docker-compose.yml").write_text(text.replace(theirs, ours))
    broken = read_compose(tmp_path / "docker-compose.yml")["services"]
    for name in SERVICES:
        monkeypatch.setitem(SERVICES, name, broken[name])
    with pytest.raises((AssertionError, KeyError)):
        all_together()


def all_together() -> None:
    for name in PUBLISHED:
        test_what_is_published_is_listened_on(name)
    test_kafka_tells_clients_an_address_that_they_can_reach()
    test_prometheus_asks_where_services_and_alertmanager_listen()
    test_grafana_finds_its_source_and_its_dashboards()
