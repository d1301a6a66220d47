from __future__ import annotations

import msgspec
import pytest

from shared.bundle.write import encode_spec
from shared.messages import DecisionReport, ShadowReport
from shared.promotion.judge import Judge
from tests.integration.registry.conftest import make_bundle, open_registry, own_redis  # noqa: F401
from tests.unit.shared.promotion.reports import GATES, SPEC

AUTOMATIC = msgspec.structs.replace(GATES, automatic=True)
ANN = {"who": "ann", "why": "test"}


class ListedReports:
    """The reports topic as a list."""

    def __init__(self, reports: list[ShadowReport] | None = None) -> None:
        self.reports: list = list(reports or [])
        self.decisions: list[DecisionReport] = []
        self._read = 0

    async def read_to_end(self, take) -> None:
        for report in self.reports[self._read :]:
            take(report)
        self._read = len(self.reports)

    async def write(self, report: DecisionReport) -> None:
        self.decisions.append(report)


@pytest.fixture
def register(make_bundle):  # noqa: F811
    """Return a function that registers versions of one model, with gates in their contract."""

    async def register_all(registry, *versions: str, gates=AUTOMATIC) -> None:
        for version in versions:
            spec = msgspec.structs.replace(SPEC, version=version, gates=gates)
            bundle = make_bundle(version, graph=version.encode(), model_toml=encode_spec(spec))
            await registry.register(bundle, **ANN)

    return register_all


@pytest.fixture
def bundles(make_bundle):  # noqa: F811
    """Directories of versions 1 and 2, with gates in their contract."""
    specs = [msgspec.structs.replace(SPEC, version=version, gates=AUTOMATIC) for version in "12"]
    return [make_bundle(s.version, graph=s.version.encode(), model_toml=encode_spec(s)) for s in specs]


@pytest.fixture
async def stage(open_registry, register):  # noqa: F811
    """A registry with champion 1 and candidate 2 (revisions 1 to 4), and a judge over a list of reports."""
    registry = open_registry()
    await register(registry, "1", "2", "3")
    await registry.promote("flights", "1", **ANN)
    await registry.set_candidate("flights", "2", **ANN)
    topic = ListedReports()
    return registry, topic, Judge(registry, topic)
