"""The log shippers' configurations: one of them run, the fields that the others name held against a line."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from devstack.part import Part
from tests.integration.monitoring.lines import Promise, promises
from tests.integration.monitoring.test_rules import MONITORING, ROOT
from tests.streams import until

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


LINES = """
from shared.logs import configure_logging, get_logger
configure_logging("inference", level="INFO", style="json")
log = get_logger("shared.refusals")
log.warning("record refused", topic="events", partition=3, offset=184467, reason="DecodeError")
log.info("he said \\"caf\u00e9\\"", nested={"a": [1, 2.5, None]})
print("Fatal Python error: \\"Segmentation fault\\"", file=__import__("sys").stderr)
log.error("the last one")
"""


async def test_rsyslog_ships_what_a_service_writes(tmp_path: Path, monitoring: dict[str, str]) -> None:
    written = tmp_path / "inference.log"
    arrived: list[bytes] = []
    over = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            arrived.append(line)
        writer.close()
        over.set()

    async with await asyncio.start_server(take, "127.0.0.1", 0) as central:
        port = central.sockets[0].getsockname()[1]
        text = (LOGS / "rsyslog.conf").read_text()
        for name, here in {
            "/var/spool/rsyslog": tmp_path,
            "/var/log/driftline": tmp_path,
            "logs.example.org": "127.0.0.1",
            "5170": port,
        }.items():
            assert name in text
            text = text.replace(name, str(here))
        (tmp_path / "rsyslog.conf").write_text(text)
        command = [monitoring["rsyslogd"], "-n", "-f", tmp_path / "rsyslog.conf", "-i", tmp_path / "pid"]
        rsyslog = Part("rsyslog", [str(one) for one in command], tmp_path / "rsyslog")
        rsyslog.launch()
        try:
            with written.open("wb") as stderr:
                subprocess.run([sys.executable, "-c", LINES], stderr=stderr, check=True)
            await until(lambda: len(arrived) == 4, what=f"every line{rsyslog.explain()}")
        finally:
            rsyslog.kill()
            if arrived:
                await over.wait()
    lines = written.read_text().splitlines()
    shipped = [json.loads(line) for line in arrived]
    assert [shipped[n] for n in (0, 1, 3)] == [json.loads(lines[n]) for n in (0, 1, 3)]
    assert shipped[2]["event"] == lines[2]
    assert (shipped[2]["service"], shipped[2]["level"]) == ("unknown", "error")


@pytest.mark.parametrize("promise", list(promises()), ids=lambda promise: promise.event)
def test_what_the_page_says_of_a_line_is_in_the_code(promise: Promise) -> None:
    """The line is written, at that level, and with the fields that it always carries; never seen to lack one
    in the services that tests/integration/monitoring/test_dashboards.py runs.
    """
    found = [call for call in LOGGED if call.event.startswith(promise.event)]
    assert found, promise
    assert {call.level for call in found} <= set(promise.level.split(" to ")) | {"warning", "exception"}
    for call in found:
        assert call.spread or set(promise.always) - {"trace_id", "span_id"} <= call.fields, call


class Logged(NamedTuple):
    """One call of a logger."""

    event: str
    level: str
    fields: set[str]
    spread: bool


def logged() -> Iterator[Logged]:
    for path in (path for folder in ("shared", "services") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            if ast.unparse(node.func.value) == "log":
                text = ast.unparse(node.args[0])
                for event in EVENTS_OF.get(text, re.findall(r"'([^']+)'", text)):
                    names = {keyword.arg for keyword in node.keywords if keyword.arg}
                    yield Logged(event, node.func.attr, names, len(names) < len(node.keywords))


EVENTS_OF = {
    "f'alert {alert.status}'": ["alert firing", "alert resolved"],
    "event": ["record refused", "record not counted", "drift alarm", "drift alarm over"],
    "what": ["notification given up"],
}
"""What is logged where the words are not in the call."""

LOGGED = list(logged())
