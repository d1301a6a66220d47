"""A prefix's topics and registry with a champion, and the shadow's settings over them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from devstack.apache_kafka import ApacheKafka
from devstack.redis_server import RedisServer
from shared.bundle.spec import FeatureSpec, ModelSpec
from shared.messages import ShadowReport
from shared.registry import RedisRegistry
from tests.models import linear, numeric_spec, write_bundle
from tests.stage import SESSION_SECONDS, open_registry, registry_settings
from tests.stage import Stage as BareStage

PARTITIONS = 3
ANN = {"who": "ann", "why": "test"}


def spec_of(version: str) -> ModelSpec:
    """The contract of every version: three features, the carrier a segment."""
    carrier = FeatureSpec(name="f1", min=0, max=3)
    spec = numeric_spec(3, version=version, window=3600, segments=("f1",))
    return msgspec.structs.replace(spec, features=(spec.features[0], carrier, spec.features[2]))


def blind_below_zero() -> onnx.ModelProto:
    """The candidate: as good as the champion, and NaN where the first feature is negative."""
    model = linear(3, [0.1, 0.2, -0.3], 0.1)
    graph = model.graph
    (last,) = [node for node in graph.node if "probabilities" in node.output]
    last.output[0] = "answers"
    graph.initializer.append(numpy_helper.from_array(np.array([[1.0], [0.0], [0.0]], np.float32), "first"))
    graph.initializer.append(numpy_helper.from_array(np.array([0.0], np.float32), "nothing"))
    graph.node.extend(
        [
            helper.make_node("MatMul", ["X", "first"], ["f0"]),
            helper.make_node("Sqrt", ["f0"], ["root"]),
            helper.make_node("Mul", ["root", "nothing"], ["zero"]),
            helper.make_node("Add", ["answers", "zero"], ["probabilities"]),
        ]
    )
    return model


def unknown_operator() -> onnx.ModelProto:
    """A graph that no runtime can load."""
    broken = linear(3)
    broken.graph.node[0].op_type = "NoSuchOperator"
    return broken


@dataclass
class Stage(BareStage):
    """Everything one shadow test plays on."""

    registry: RedisRegistry
    sent: list[tuple[int, bytes]] = field(default_factory=list)

    async def publish(
        self, version: str, *, candidate: bool = False, graph: onnx.ModelProto | None = None
    ) -> None:
        """Register a version; make it champion, or a candidate."""
        graph = graph or linear(3, [0.1, 0.2, -0.3], float(version) / 10 - 0.1)
        bundle = write_bundle(self.folder / version, graph, spec_of(version))
        await self.registry.register(bundle.path, **ANN)
        if candidate:
            await self.registry.set_candidate("demo", version, **ANN)
        else:
            await self.registry.promote("demo", version, **ANN)

    async def reports(self, source: str | None = None) -> list[ShadowReport]:
        """The newest shadow report of every key whose source is this topic."""
        found = await self.newest(ShadowReport)
        return [report for report in found if report.source_topic == (source or self.topics.events)]


@pytest.fixture
async def stage(
    kafka: ApacheKafka, redis_server: RedisServer, topic_prefix: str, tmp_path: Path
) -> AsyncIterator[Stage]:
    extra = {"DRIFTLINE_REPORT_SECONDS": "0.5", "DRIFTLINE_SESSION_SECONDS": SESSION_SECONDS}
    settings = registry_settings(redis_server, topic_prefix, tmp_path) | extra
    async with open_registry(redis_server, topic_prefix, tmp_path) as registry:
        yield await Stage.set_up(kafka, topic_prefix, tmp_path, settings=settings, registry=registry)
