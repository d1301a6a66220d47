"""``model.toml``: every mistake is a sentence that names the key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.bundle.spec import decode_spec
from shared.errors import BundleError

HEAD = 'name = "m"\nversion = "1"\noutput = {score = "y"}\n'
ONE = HEAD + 'task = "regression"\nfeatures = [{%s}]\n'
BINARY = HEAD + 'task = "binary"\nfeatures = [{name = "x"}]\n'


def refusal(text: str) -> str:
    with pytest.raises(BundleError) as caught:
        decode_spec(text.encode())
    return str(caught.value)


def test_defaults() -> None:
    spec = decode_spec(BINARY.encode())
    assert (spec.threshold, spec.window, spec.label_horizon) == (0.5, 60, 1_209_600)
    assert spec.features[0].dtype == "float32"
    assert not spec.features[0].nullable


def test_width_counts_one_column_per_category_of_a_one_hot_feature_only() -> None:
    spec = decode_spec(
        (
            HEAD + 'task = "regression"\nfeatures = ['
            '{name = "x"},'
            '{name = "a", kind = "categorical", encoding = "one-hot", categories = ["p", "q", "r"]},'
            '{name = "b", kind = "categorical", categories = ["p", "q", "r"]}]'
        ).encode()
    )
    assert [feature.width for feature in spec.features] == [1, 3, 1]
    assert spec.width == 5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("= 3", "model.toml is not TOML"),
        (BINARY + "tresshold = 0.5", "tresshold"),
        (BINARY + "threshold = 1.5", "$.threshold"),
        (BINARY + 'window = "60"', "$.window"),
        (BINARY.replace('"m"', '"Not a name"'), "$.name"),
        (BINARY.replace('version = "1"\n', ""), "version"),
        (HEAD + 'task = "regression"\nfeatures = []', "$.features"),
        (ONE % 'name = "x", nulable = true', "nulable"),
        (ONE % 'name = "x", kind = "text"', "$.features[0].kind"),
        (ONE % 'name = "x", min = 2, max = 1', "features.x: min 2 is above max 1"),
        (
            ONE % 'name = "x", kind = "boolean", min = 0',
            "features.x: min and max belong to a numeric feature",
        ),
        (ONE % 'name = "x", kind = "categorical"', "features.x: categories is needed for encoding 'ordinal'"),
        (
            ONE % 'name = "x", kind = "categorical", categories = ["a", "a"]',
            "features.x: categories names a value twice",
        ),
        (ONE % 'name = "x", categories = ["a"]', "features.x: categories belongs to a categorical feature"),
        (
            ONE % 'name = "x", kind = "categorical", categories = ["a"], unknown = "missing"',
            "features.x: unknown = 'missing' needs nullable = true",
        ),
        (ONE % 'name = "x", min = nan', "features.x: min is nan; leave it out where there is no bound"),
        (ONE % 'name = "x", max = inf', "features.x: max is inf; leave it out where there is no bound"),
        (ONE % 'name = "x", dtype = "string"', "features.x: dtype 'string' is none of a numeric feature"),
        (
            ONE % 'name = "x", kind = "categorical", encoding = "string", categories = []',
            "features.x: categories is empty; leave it out to allow any string",
        ),
        (BINARY + "false_alarms_per_30_days = inf", "false_alarms_per_30_days must be a finite number"),
        (BINARY + "threshold = nan", "$.threshold"),
        (BINARY + "window = 99999999999999999999", "$.window"),
        (ONE % 'name = "x"}, {name = "x"', "feature 'x' is declared twice"),
        (BINARY + 'segments = ["y"]', "segments names 'y', which is no feature"),
        (BINARY + 'classes = ["a"]', "classes has 1 entries, a binary task takes two"),
        (BINARY + 'classes = ["a", "a"]', "classes names a label twice"),
        (BINARY.replace('"binary"', '"multiclass"'), "classes must list three or more labels"),
        (BINARY.replace('"binary"', '"regression"') + 'classes = ["a", "b"]', "classes must be left out"),
        (BINARY.replace('{score = "y"}', '{score = "y", positive = 2}'), "output.positive is 2"),
    ],
)
def test_a_mistake_is_named(text: str, problem: str) -> None:
    assert problem in refusal(text)


def test_the_documented_contract_is_one() -> None:
    text = (Path(__file__).parents[4] / "docs" / "bundle.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    spec = decode_spec(block.encode())
    assert [feature.name for feature in spec.features] == ["dep_delay", "carrier", "rain"]
    assert spec.features[0].nullable
    assert spec.gates is not None
    assert spec.gates.canary_steps == (5.0, 25.0)
