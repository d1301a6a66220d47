"""docker-compose.yml holds what it says: every path, port, setting and name in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack.compose.reading import (
    bind_mounts,
    command,
    is_ours,
    named_volumes,
    read_compose,
    schema_errors,
)
from devstack.compose.stand_ins import tag_of
from tests.deploy.settings import read_settings

ROOT = Path(__file__).parents[2]
COMPOSE = read_compose(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if is_ours(service))
RUNNING = sorted(set(OURS) - {"topics", "cli", "flights"})


def test_it_fits_the_compose_specification() -> None:
    assert schema_errors(COMPOSE) == []
    broken = json.loads(json.dumps(COMPOSE))
    broken["services"]["redis"]["helthcheck"] = {}
    assert any("helthcheck" in error for error in schema_errors(broken))


def test_every_service_with_an_image_of_its_own_is_in_it() -> None:
    dockerfiles = {path.parent.name for path in (ROOT / "services").glob("*/Dockerfile")}
    assert dockerfiles == {*RUNNING, "cli"}


@pytest.mark.parametrize("name", SERVICES)
def test_what_it_mounts_and_builds_is_there(name: str) -> None:
    service = SERVICES[name]
    for source in bind_mounts(service).values():
        assert (ROOT / source).exists(), source
    for volume in named_volumes(service).values():
        assert volume in COMPOSE["volumes"]
    if "build" in service:
        assert (ROOT / service["build"]["dockerfile"]).is_file()
        assert service["build"]["context"] == "."
        asked = re.findall(r"^ARG (\w+)", (ROOT / service["build"]["dockerfile"]).read_text(), re.MULTILINE)
        assert set(service["build"]["args"]) == {"VERSION", "REVISION"} <= set(asked)


def test_every_volume_is_used() -> None:
    used = {volume for service in SERVICES.values() for volume in named_volumes(service).values()}
    assert used == set(COMPOSE["volumes"])


def test_ports_are_for_this_machine_only_and_no_two_the_same() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    hosts = [port.split(":")[1] for port in ports]
    assert len(set(hosts)) == len(hosts)


@pytest.mark.parametrize("name", RUNNING)
def test_settings_exist_and_are_accepted(name: str) -> None:
    settings = read_settings(name, {key: str(value) for key, value in SERVICES[name]["environment"].items()})
    grace = float(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert grace > settings.drain_seconds


@pytest.mark.parametrize("name", RUNNING)
def test_a_service_may_do_nothing_but_its_work(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert command(service, ROOT)[1:3] == ["-m", f"services.{name}"]


def test_hosts_that_are_talked_to_are_services() -> None:
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if key in ("DRIFTLINE_KAFKA_BOOTSTRAP_SERVERS", "DRIFTLINE_REDIS_URL"):
                host = re.sub(r"^redis://", "", value).split(":")[0]
                assert host in SERVICES
    prometheus = yaml.safe_load((ROOT / "monitoring/prometheus/prometheus.yml").read_text())
    scraped = {
        name for job in prometheus["scrape_configs"] for sd in job["dns_sd_configs"] for name in sd["names"]
    }
    assert scraped == set(RUNNING)
    (manager,) = prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert manager.split(":")[0] in SERVICES


def test_whoever_is_waited_for_can_say_when_it_is_ready() -> None:
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed] or is_ours(SERVICES[needed])


def test_profiles_start_what_they_say() -> None:
    profiles = {name: set(service["profiles"]) for name, service in SERVICES.items()}
    assert {name for name, of in profiles.items() if "core" in of} == {"kafka", "redis", "topics", *RUNNING}
    assert {name for name, of in profiles.items() if "monitoring" in of} == {
        "prometheus",
        "alertmanager",
        "grafana",
    }
    assert {name for name, of in profiles.items() if "demo" in of} == {"flights"}
    assert (ROOT / ".env").read_text().splitlines()[-1] == "COMPOSE_PROFILES=core,monitoring"


def test_nothing_secret_is_in_it() -> None:
    text = (ROOT / "docker-compose.yml").read_text() + (ROOT / ".env").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert not [
        line for line in lines if re.search(r"(password|secret|token|api_?key)\w*\s*[:=]", line, re.I)
    ]


class StandIns(yaml.SafeLoader):
    """Compose's own tag for replacing a value instead of adding to it."""


StandIns.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


def test_the_stand_ins_change_images_and_add_a_receiver_only() -> None:
    """`python -m devstack.compose` runs the file as it is: commands, settings, health checks, volumes."""
    changed = yaml.load((ROOT / "devstack/compose/stand-ins.yml").read_text(), StandIns)["services"]
    assert set(changed) - set(SERVICES) == {"receiver"}
    assert changed["grafana"] == {"profiles": ["not-to-be-had"]}
    for name in set(changed) - {"receiver", "grafana"}:
        assert set(changed[name]) == {"image", "pull_policy"}
        assert changed[name]["image"] == tag_of(name).removesuffix(":latest")
    assert (ROOT / changed["receiver"]["volumes"][0].split(":")[0]).is_file()
