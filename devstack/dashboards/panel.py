"""Panels and dashboards as Grafana's JSON, with what they have in common said once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
GREEN, AMBER, RED, BLUE = "green", "orange", "red", "blue"
WIDTH: Final = 24
"""Columns of Grafana's grid."""


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression and what its series are called."""

    expr: str
    legend: str = "__auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel.

    Attributes
    ----------
    title, description
        What a person sees; the description says what is normal, and what to do if it is not.
    kind
        Grafana's type: ``stat``, ``timeseries``, ``table``, ``bargauge``.
    queries
        What it shows.
    unit
        Grafana's name of the unit.
    width, height
        In grid units.
    steps
        Colours from a value on, the first from minus infinity.
    """

    title: str
    description: str
    kind: str
    queries: Sequence[Query]
    unit: str = "short"
    width: int = 8
    height: int = 8
    steps: Sequence[tuple[float | None, str]] = ((None, BLUE),)
    low: float | None = None
    high: float | None = None
    columns: dict[str, str] = field(default_factory=dict)

    def as_json(self, number: int, x: int, y: int) -> dict[str, Any]:
        """Return the panel at a place of the grid."""
        defaults: dict[str, Any] = {
            "unit": self.unit,
            "color": {"mode": "thresholds" if len(self.steps) > 1 else "palette-classic"},
            "thresholds": {"mode": "absolute", "steps": [{"value": v, "color": c} for v, c in self.steps]},
        }
        if self.kind == "timeseries":
            defaults["color"] = {"mode": "palette-classic"}
            defaults["custom"] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
        if self.low is not None:
            defaults["min"] = self.low
        if self.high is not None:
            defaults["max"] = self.high
        return {
            "id": number,
            "title": self.title,
            "description": self.description,
            "type": self.kind,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": defaults, "overrides": self._overrides()},
            "options": self._options(),
            "targets": [self._target(at, query) for at, query in enumerate(self.queries)],
        } | self._transformations()

    def _target(self, at: int, query: Query) -> dict[str, Any]:
        target: dict[str, Any] = {
            "refId": chr(ord("A") + at),
            "datasource": SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
        }
        if self.kind != "timeseries":
            target |= {"instant": True, "range": False}
        if self.kind == "table":
            target["format"] = "table"
        return target

    def _options(self) -> dict[str, Any]:
        reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        match self.kind:
            case "stat":
                return {"reduceOptions": reduced, "colorMode": "background", "graphMode": "none"}
            case "bargauge":
                return {"reduceOptions": reduced, "orientation": "horizontal", "displayMode": "basic"}
            case "table":
                return {"showHeader": True, "cellHeight": "sm"}
            case _:
                return {
                    "legend": {"displayMode": "list", "placement": "bottom"},
                    "tooltip": {"mode": "multi", "sort": "desc"},
                }

    def _overrides(self) -> list[dict[str, Any]]:
        links = {"title": "runbook", "url": "${runbooks}/${__value.raw}", "targetBlank": True}
        if "alertname" not in self.columns:
            return []
        named = {"id": "byName", "options": self.columns["alertname"]}
        return [{"matcher": named, "properties": [{"id": "links", "value": [links]}]}]

    def _transformations(self) -> dict[str, Any]:
        """Keep the named columns of a table, in order, under names for people."""
        if self.kind != "table":
            return {}
        order = {name: at for at, name in enumerate(self.columns)}
        names = list(self.columns)
        return {
            "transformations": [
                {"id": "filterFieldsByName", "options": {"include": {"names": names}}},
                {"id": "organize", "options": {"indexByName": order, "renameByName": self.columns}},
            ]
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard: rows of panels under variables.

    Attributes
    ----------
    uid
        Names its file and its address.
    variables
        Queries of the variables by name; each takes several values, and all by default.
    rows
        Titles and panels.
    """

    uid: str
    title: str
    description: str
    rows: Sequence[tuple[str, Sequence[Panel]]]
    variables: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return what Grafana reads."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["driftline"],
            "schemaVersion": 38,
            "editable": True,
            "graphTooltip": 1,
            "refresh": "30s",
            "timezone": "browser",
            "time": {"from": "now-3h", "to": "now"},
            "links": [_other_dashboards()],
            "annotations": {"list": [_version_changes()]},
            "templating": {"list": [_source(), _runbooks(), *self._variables()]},
            "panels": list(self._laid_out()),
        }

    def _variables(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "type": "query",
                "datasource": SOURCE,
                "query": {"query": query, "refId": name},
                "definition": query,
                "refresh": 2,
                "multi": True,
                "includeAll": True,
                "allValue": ".*",
                "current": {"text": "All", "value": "$__all"},
                "sort": 1,
            }
            for name, query in self.variables.items()
        ]

    def _laid_out(self) -> list[dict[str, Any]]:
        panels: list[dict[str, Any]] = []
        y = 0
        for title, members in self.rows:
            place = {"x": 0, "y": y, "w": WIDTH, "h": 1}
            row = {"type": "row", "title": title, "gridPos": place, "collapsed": False, "panels": []}
            panels.append({"id": len(panels) + 1} | row)
            x, y, height = 0, y + 1, 0
            for panel in members:
                if x + panel.width > WIDTH:
                    x, y, height = 0, y + height, 0
                panels.append(panel.as_json(len(panels) + 1, x, y))
                x, height = x + panel.width, max(height, panel.height)
            y += height
        return panels


def _source() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _runbooks() -> dict[str, Any]:
    where = "http://localhost:8080/runbooks"
    current = {"text": where, "value": where}
    return {"name": "runbooks", "type": "textbox", "label": "Runbooks", "query": where, "current": current}


def _other_dashboards() -> dict[str, Any]:
    return {
        "title": "Driftline",
        "type": "dashboards",
        "tags": ["driftline"],
        "asDropdown": False,
        "keepTime": True,
        "includeVars": True,
    }


def _version_changes() -> dict[str, Any]:
    """A line across every graph at which another version began to answer."""
    return {
        "name": "new version",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "purple",
        "expr": "driftline_model_info unless driftline_model_info offset 1m",
        "titleFormat": "{{model}} {{version}}",
        "step": "60s",
    }
