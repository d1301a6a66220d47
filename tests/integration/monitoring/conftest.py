"""The stage of the inference tests, used here with Prometheus beside it."""

from tests.integration.inference.conftest import stage

__all__ = ["stage"]
