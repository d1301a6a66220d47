"""The Grafana dashboards, written in Python and checked in as JSON under ``monitoring/grafana``."""
