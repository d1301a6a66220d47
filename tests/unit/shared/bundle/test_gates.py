"""The ``[gates]`` section: every contradiction is a sentence that names the key."""

from __future__ import annotations

import pytest

from shared.bundle.gates import GatesSpec, metric_of
from shared.bundle.spec import decode_spec
from shared.bundle.write import encode_spec
from shared.errors import BundleError

HEAD = """
name = "m"
version = "1"
task = "{task}"
output = {{score = "y"}}
features = [{{name = "x", kind = "categorical", categories = ["a", "b"]}}]
segments = ["x"]
[gates]
"""


def decoded(gates: str, task: str = "binary"):
    return decode_spec((HEAD.format(task=task) + gates).encode())


def test_left_out_means_that_only_people_promote():
    assert decode_spec(HEAD.replace("[gates]", "").format(task="binary").encode()).gates is None


def test_the_section_may_be_empty_and_is_off_by_default():
    gates = decoded("").gates
    assert gates == GatesSpec()
    assert not gates.automatic
    assert metric_of(gates, "multiclass") == "brier"
    assert gates.tolerated_in_segments == 0.02


def test_what_is_written_is_read_back():
    spec = decoded('metric = "auc"\nguard_segments = ["x"]\nautomatic = true\ncanary_steps = [1, 5]')
    assert decode_spec(encode_spec(spec)) == spec


@pytest.mark.parametrize(
    ("gates", "task", "problem"),
    [
        ("minimum_events = 5", "binary", "minimum_events"),
        ("alpha = 0", "binary", "$.gates.alpha"),
        ("alpha = 1", "binary", "$.gates.alpha"),
        ("min_labels = 0", "binary", "$.gates.min_labels"),
        ('metric = "f1"', "binary", "$.gates.metric"),
        ('metric = "auc"', "regression", "gates.metric 'auc' is none of a regression task"),
        ('metric = "relative_error"', "binary", "gates.metric 'relative_error' is none of a binary task"),
        ('rule = "non-inferior"', "binary", "gates.rule 'non-inferior' needs a margin above 0"),
        ("margin = 1", "binary", "gates.margin is 1, and brier cannot differ by more than 1"),
        ("margin = inf", "binary", "gates.margin is inf"),
        ("segment_margin = 2", "binary", "gates.segment_margin is 2"),
        ('guard_segments = ["y"]', "binary", "gates.guard_segments names 'y', which is not in segments"),
        ('metric = "none"\nguard_segments = ["x"]', "binary", "gates.guard_segments needs a metric"),
        ("min_agreement = 0.5", "regression", "gates.min_agreement belongs to a task with labels"),
        ("automatic = true\ncanary_steps = [0, 5]", "binary", "gates.canary_steps are percentages above 0"),
        ("automatic = true\ncanary_steps = [50, 5]", "binary", "gates.canary_steps must rise"),
        (
            "canary_steps = [5]",
            "binary",
            "gates.canary_steps are taken by rule, which needs automatic = true",
        ),
        ("max_latency_ratio = inf", "binary", "gates.max_latency_ratio must be a finite number"),
        ("max_latency_ratio = nan", "binary", "gates.max_latency_ratio"),
    ],
)
def test_a_contradiction_is_named(gates: str, task: str, problem: str):
    with pytest.raises(BundleError) as caught:
        decoded(gates, task)
    assert problem in str(caught.value)
