"""Whatever bytes come in from outside, there is an answer or a reason: never a crash, never silence."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.alerting.receivers import check_url
from shared.alerting.rules import Receiver
from shared.alerting.rules_file import parse_rules
from shared.bundle.checksums import format_sums, parse_sums
from shared.bundle.read import load_bundle
from shared.bundle.spec import decode_spec
from shared.dead_letters import read_dead_letter
from shared.errors import BundleError, ConfigError, ServiceError
from shared.messages import Label, Outcome, Prediction
from shared.reports import decode_report
from shared.scoring.events import EventDecoder
from tests.models import linear, numeric_spec, write_bundle

thorough = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["demo", "e1", "2024-01-01T00:00:00Z", 1_700_000_000_000, "f0", "1e999"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["event_id", "features", "f0", "f1", "f2", "model", "occurred_at", "kind", "rules"]
            )
            | st.text(max_size=8),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


raw = st.binary(max_size=300) | anything.map(as_json)
DECODER = EventDecoder(numeric_spec(3))


@given(st.lists(raw | st.none(), min_size=1, max_size=8))
@thorough
def test_every_event_is_decoded_or_refused_with_a_reason(values: list[bytes | None]) -> None:
    decoded = DECODER.decode(values)
    kept = range(len(values)) if decoded.kept is None else decoded.kept
    refused = [position for position, _ in decoded.rejected]
    assert sorted([*kept, *refused]) == list(range(len(values)))
    for _, error in decoded.rejected:
        assert isinstance(error, ServiceError)
        assert error.dead_letter
        assert error.message


@given(st.data())
@thorough
def test_a_good_event_with_one_byte_changed_never_crashes(data: st.DataObject) -> None:
    good = msgspec.json.encode(
        {"event_id": "e1", "occurred_at": 1_700_000_000_000, "features": {"f0": 1, "f1": -2.5, "f2": 0}}
    )
    spoiled = bytearray(good)
    position = data.draw(st.integers(0, len(good) - 1))
    spoiled[position] = data.draw(st.integers(0, 255))
    decoded = DECODER.decode([bytes(spoiled), good])
    assert len(decoded) + len(decoded.rejected) == 2
    assert "e1" in decoded.event_ids


@pytest.mark.parametrize("depth", [100, 5_000, 300_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"features":['])
def test_nesting_without_end_is_refused(opening: bytes, depth: int) -> None:
    value = (opening * depth)[:1_000_000]
    ((_, error),) = DECODER.decode([value]).rejected
    assert error.dead_letter


@given(raw)
@thorough
@pytest.mark.parametrize(
    "decode", [decode_report, *(msgspec.json.Decoder(m).decode for m in (Prediction, Label, Outcome))]
)
def test_a_message_of_another_service_is_read_or_refused(decode: Any, value: bytes) -> None:
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        decode(value)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["driftline-error", "driftline-source-offset", "x"]) | st.text(max_size=9),
            st.none() | st.binary(max_size=20),
        )
    )
)
@thorough
def test_headers_of_a_dead_letter_may_be_anything(headers: list[tuple[str, bytes | None]]) -> None:
    read_dead_letter(headers)


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
@thorough
def test_checksums_are_read_or_refused(value: bytes) -> None:
    try:
        sums = parse_sums(value)
    except BundleError:
        return
    for name in sums:
        assert not Path(name).is_absolute()
        assert ".." not in Path(name).parts


@given(
    st.text(max_size=300)
    | st.dictionaries(st.text(max_size=6), st.integers() | st.text(max_size=9)).map(
        lambda d: msgspec.toml.encode(d).decode()
    )
)
@thorough
def test_a_contract_is_read_or_refused(text: str) -> None:
    with pytest.raises(BundleError):
        decode_spec(text.encode("utf-8", "surrogatepass"))


def _names() -> st.SearchStrategy[str]:
    bad = [
        "../../etc/passwd",
        "/etc/passwd",
        "a/../../b",
        "..",
        ".",
        "a\\..\\b",
        "\0",
        "model.onnx/",
        "~/x",
        "a//b",
        "",
    ]
    return st.sampled_from(bad) | st.text(max_size=12)


@given(name=_names(), content=st.binary(max_size=50))
@thorough
def test_a_bundle_with_a_hostile_name_is_refused_and_nothing_outside_is_read(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    bundle = write_bundle(folder, linear(3), numeric_spec(3))
    sums = dict(bundle.files)
    if name in sums:
        return
    (folder / "SHA256SUMS").write_bytes(
        format_sums(sums) + b"0" * 64 + b"  " + name.encode("utf-8", "replace") + b"\n"
    )
    with pytest.raises(BundleError):
        load_bundle(folder)


@given(st.data())
@thorough
def test_a_bundle_with_one_byte_changed_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("bundle") / "b"
    bundle = write_bundle(folder, linear(3), numeric_spec(3))
    file = folder / data.draw(st.sampled_from(sorted(bundle.files)))
    spoiled = bytearray(file.read_bytes())
    position = data.draw(st.integers(0, len(spoiled) - 1))
    spoiled[position] ^= data.draw(st.integers(1, 255))
    file.write_bytes(spoiled)
    with pytest.raises(BundleError):
        load_bundle(folder)


def problems(text: str) -> list[str]:
    """What is wrong with a rule file, nothing where it is one."""
    try:
        parse_rules(text, "rules.yml")
    except ConfigError as error:
        return error.problems
    return []


@given(st.text(max_size=200) | anything.map(json.dumps))
@settings(thorough, max_examples=40)
def test_a_rule_file_is_read_or_refused_with_the_line(text: str) -> None:
    assert all(problem.startswith("rules.yml:") for problem in problems(text))


@pytest.mark.parametrize(
    "text", ["\x1f", "a: 2024-13-01", "[" * 5_000, 'rules: ["\\ud800"]', '"\\udc00": 1', "&a [*a]", "*x"]
)
def test_a_rule_file_that_once_crashed_is_refused(text: str) -> None:
    assert problems(text)


@given(anything, anything)
@settings(thorough, max_examples=40)
def test_rules_and_receivers_of_any_shape_are_refused_by_name(rules: Any, receivers: Any) -> None:
    found = problems(json.dumps({"rules": [rules], "receivers": [receivers]}))
    assert all(problem.startswith("rules.yml:") for problem in found)


@given(
    st.text(max_size=60)
    | st.builds("{}://{}".format, st.sampled_from(["http", "https", "file", "gopher"]), st.text(max_size=20))
)
@thorough
def test_a_webhook_address_is_taken_or_refused(url: str) -> None:
    problem = check_url(Receiver(name="r", url=url), url)
    assert problem is None or problem
    if problem is None:
        assert url.lower().startswith("https://")
