"""Everything else that reads what a person or a stranger has written: taken, or refused with a sentence."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from click import ClickException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.cli.event_lines import key_of, outgoing, parse_feature
from services.cli.selection import parse_moment, parse_place
from services.inference.config import InferenceSettings
from shared.alerting.rule_tests import run_test_file
from shared.drift.baseline import decode_baseline
from shared.drift.fitting import fit_baseline
from shared.drift.shifts import parse_shift
from shared.errors import BundleError, ConfigError, DecodeError, ServiceError, ValidationError
from shared.kpi.expression import parse
from shared.settings.load import load_settings
from shared.tracing import parse_traceparent

thorough = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
PIECES = (
    "score decision truth sale ( ) + - * / ** < if else and not 1 0.5 1e999 , . [ ] lambda : x __class__ min "
    "7d -1 :0 [3] = f0 numeric mean sd \x00 2024-01-01 Z"
)
words = st.text(max_size=40) | st.lists(st.sampled_from(PIECES.split()), max_size=9).map(" ".join)

BASELINE = fit_baseline({"late": [False, True] * 300}, {"late": "boolean"}).encode()


@given(words)
@thorough
def test_a_kpi_is_arithmetic_or_refused(text: str) -> None:
    with contextlib.suppress(ValidationError):
        expression = parse(text)
        columns = {name: np.array([0.0, 1.0]) for name in expression.names}
        assert expression(columns, 2).shape == (2,)


@given(words)
@thorough
def test_places_moments_features_and_shifts_are_read_or_refused(text: str) -> None:
    for reading in (
        parse_place,
        parse_feature,
        parse_shift,
        lambda one: parse_moment(one, 1_700_000_000_000),
    ):
        with contextlib.suppress(ValueError, ServiceError, ClickException):
            reading(text)


@given(st.binary(max_size=80) | st.from_regex(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"))
@thorough
def test_a_traceparent_is_read_or_passed_over(value: bytes) -> None:
    parse_traceparent(value)


@given(st.data())
@thorough
def test_a_baseline_with_bytes_changed_is_read_or_refused(data: st.DataObject) -> None:
    spoiled = bytearray(BASELINE)
    for _ in range(data.draw(st.integers(1, 3))):
        spoiled[data.draw(st.integers(0, len(spoiled) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BundleError):
        decode_baseline(bytes(spoiled))


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"channels":' * 100_000, b"\xff", b"", b"null"])
def test_a_baseline_nested_without_end_is_refused(raw: bytes) -> None:
    with pytest.raises(BundleError):
        decode_baseline(raw)


@given(st.binary(max_size=80) | words.map(str.encode))
@thorough
def test_an_event_to_send_is_sent_or_refused(value: bytes) -> None:
    key_of(value)
    with contextlib.suppress(DecodeError):
        outgoing(value, check=True, place="line 1")


@given(words)
@thorough
def test_a_file_of_rule_tests_runs_or_is_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("rules") / "tests.yml"
    file.write_text(f"rules: rules.yml\ntests: {text!r}\n{text}", "utf-8", "replace")
    with contextlib.suppress(ConfigError):
        list(run_test_file(file))


@given(st.binary(max_size=80) | words.map(lambda text: f"kafka_bootstrap_servers = {text}".encode()))
@settings(thorough, max_examples=30)
def test_a_settings_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file: Path = tmp_path_factory.mktemp("settings") / "driftline.toml"
    file.write_bytes(content)
    with contextlib.suppress(ConfigError):
        load_settings(InferenceSettings, ["--config", str(file)])
