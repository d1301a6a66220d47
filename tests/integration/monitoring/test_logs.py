"""The log shippers' configurations name the fields that a line has."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.integration.monitoring.test_rules import MONITORING, ROOT

LOGS = MONITORING / "logs"
ALWAYS = {"ts", "level", "service", "logger", "event"}
SOMETIMES = {"trace_id", "span_id", "topic", "partition", "offset", "model", "message", "timestamp"}


def test_vector_reads_from_its_own_parts_and_names_known_fields() -> None:
    document: dict[str, Any] = yaml.safe_load((LOGS / "vector.yaml").read_text())
    parts = document["sources"] | document["transforms"] | document["sinks"]
    for part in parts.values():
        assert set(part.get("inputs", [])) <= set(parts)
    labels = re.findall(r"\{\{ (\w+) \}\}", str(document["sinks"]))
    used = re.findall(r"(?<![\w)])\.([a-z]\w*)", document["transforms"]["fields"]["source"])
    assert set(labels) <= ALWAYS
    assert set(used) <= ALWAYS | SOMETIMES


def test_fluent_bit_names_a_parser_that_it_has_and_known_fields() -> None:
    document: dict[str, Any] = yaml.safe_load((LOGS / "fluent-bit.yaml").read_text())
    names = {parser["name"] for parser in document["parsers"]}
    assert {one["parser"] for one in document["pipeline"]["filters"]} <= names
    assert document["parsers"][0]["time_key"] in ALWAYS
    keys = document["pipeline"]["outputs"][0]["label_keys"].replace("$", "").split(",")
    assert set(keys) <= ALWAYS


def test_alloy_refers_only_to_components_it_has() -> None:
    text = re.sub(r"//.*", "", (LOGS / "config.alloy").read_text())
    assert text.count("{") == text.count("}")
    components = {".".join(found) for found in re.findall(r'^([a-z.]+) "(\w+)"', text, re.MULTILINE)}
    used = re.findall(r"((?:discovery|loki)\.[a-z.]+)\.(?:targets|output|receiver)", text)
    assert set(used) <= components
    fields = re.findall(r"(\w+) = \"\"", text)
    assert set(fields) <= ALWAYS | SOMETIMES


@pytest.mark.parametrize("event", re.findall(r"^\| (`.*?) \|", (ROOT / "docs/logs.md").read_text(), re.M)[2:])
def test_the_events_that_the_page_names_are_in_the_code(event: str) -> None:
    code = "".join(
        path.read_text() for folder in ("shared", "services") for path in (ROOT / folder).rglob("*.py")
    )
    for words in re.findall(r"`([^`]+)`", event):
        last = words.removeprefix("... ")
        known = last in code or re.sub(r"^alert \w+$", "alert {alert.status}", last) in code
        assert known or last in ("level", "ts", "service", "logger", "event"), last
