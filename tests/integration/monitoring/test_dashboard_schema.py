"""The dashboards against Grafana's own schema, as Grafana Labs' foundation SDK has it: Grafana is not here.

The SDK's classes are generated from the schema that Grafana is built from. Reading a dashboard into them
and writing it again loses what the schema does not know, and their annotations say what a value may be.
"""

from __future__ import annotations

import enum
import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.integration.monitoring.test_rules import MONITORING

DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
OF_THE_DATA_SOURCE = ("titleFormat", "step", "definition")
"""Keys of Prometheus' own queries, of annotations and variables, which the core schema leaves open."""


def differences(given: Any, kept: Any, path: str = "") -> Iterator[str]:
    """What the SDK has lost or changed."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key in kept:
                yield from differences(value, kept[key], f"{path}.{key}")
            elif key not in OF_THE_DATA_SOURCE:
                yield f"{path}.{key} is not known"
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for number, (one, other) in enumerate(zip(given, kept, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif given != kept:
        yield f"{path}: {given!r} became {kept!r}"


def violations(value: Any, hint: Any, path: str = "") -> Iterator[str]:
    """Where a value is not what its annotation says."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        possible = [one for one in inside if value is None or one is not type(None)]
        found = [list(violations(value, one, path)) for one in possible]
        yield from min(found, key=len)
    elif origin in (list, dict) and not isinstance(value, origin):
        yield f"{path}: {value!r} is no {origin.__name__}"
    elif origin is list:
        for number, one in enumerate(value):
            yield from violations(one, inside[0], f"{path}[{number}]")
    elif origin is dict:
        for key, one in value.items():
            yield from violations(one, inside[1], f"{path}.{key}")
    elif origin is typing.Literal:
        if value not in inside:
            yield f"{path}: {value!r} is none of {inside}"
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        if value not in [member.value for member in hint]:
            yield f"{path}: {value!r} is none of {[member.value for member in hint]}"
    elif isinstance(value, dict) and hasattr(hint, "from_json"):  # the SDK left it as it was
        yield from violations(hint.from_json(value), hint, path)
    elif isinstance(hint, type) and hint is not object:
        number = hint is float and isinstance(value, int)
        if not isinstance(value, hint) and not number:
            yield f"{path}: {value!r} is no {hint.__name__}"
        for name, inner in typing.get_type_hints(type(value)).items() if hasattr(value, "to_json") else ():
            yield from violations(getattr(value, name), inner, f"{path}.{name}")


def wrong(document: dict[str, Any]) -> list[str]:
    register_default_plugins()
    read = Dashboard.from_json(document)
    written = json.loads(JSONEncoder().encode(read))
    return [*differences(document, written), *violations(read, Dashboard)]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_what_grafanas_schema_says(path: Path) -> None:
    assert wrong(json.loads(path.read_text())) == []


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("gridPosition",), {}, "gridPosition is not known"),
        (("fieldConfig", "defaults", "thresholds", "mode"), "absolut", "'absolut' is none of"),
        (("gridPos", "x"), "left", "'left' is no int"),
        (("options", "colourMode"), "value", "colourMode is not known"),
        (("targets", 0, "expression"), "up", "expression is not known"),
        (("targets",), "up", "targets"),
    ],
)
def test_it_would_say_so(place: tuple[Any, ...], value: Any, said: str) -> None:
    document = json.loads(DASHBOARDS[0].read_text())
    *way, last = place
    at = next(panel for panel in document["panels"] if panel["type"] == "stat")
    for step in way:
        at = at[step]
    at[last] = value
    try:
        found = wrong(document)
    except Exception as error:
        found = [f"{place}: {error}"]
    assert any(said in one for one in found), found
