from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from pydantic import SecretStr

from shared import logs
from shared.logs import RateLimit, configure_logging, get_logger, hide
from shared.tracing import TraceContext, current_trace

log = get_logger("driftline.test")


@pytest.fixture(autouse=True)
def restored_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.setattr(logs, "_secrets", set())
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure_logging("inference", stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def fail(error: Exception) -> None:
    raise error


def test_a_happening_is_one_line_with_its_fields(stream: io.StringIO) -> None:
    log.info("partition opened 100%", topic="events", partition=3, name="n", args=[1], tags={"b"})
    (line,) = lines(stream)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "service": "inference",
        "logger": "driftline.test",
        "event": "partition opened 100%",
        "topic": "events",
        "partition": 3,
        "name": "n",
        "args": [1],
        "tags": ["b"],
    }


def test_standard_logging_with_extra_ends_in_the_same_line(stream: io.StringIO) -> None:
    logging.getLogger("elsewhere").warning("lost %s", "it", extra={"offset": 7, "level": "high"})
    (line,) = lines(stream)
    assert (line["event"], line["offset"], line["level"], line["level_"]) == ("lost it", 7, "warning", "high")


def test_the_exception_being_handled_is_in_the_line(stream: io.StringIO) -> None:
    try:
        fail(ValueError("hour is 77"))
    except ValueError:
        log.exception("crashed")
    (line,) = lines(stream)
    assert line["error"] == "ValueError: hour is 77"
    assert line["traceback"].startswith("Traceback (most recent call last):\n")


def test_trace_ids_are_in_the_line_while_a_span_is_current(stream: io.StringIO) -> None:
    token = current_trace.set(TraceContext("a" * 32, "b" * 16))
    log.info("inside")
    current_trace.reset(token)
    log.info("outside")
    inside, outside = lines(stream)
    assert (inside["trace_id"], inside["span_id"]) == ("a" * 32, "b" * 16)
    assert "trace_id" not in outside


def test_libraries_write_once_and_only_warnings(stream: io.StringIO) -> None:
    library = logging.getLogger("aiokafka.consumer")
    library.info("joined")
    library.warning("slow")
    assert [line["event"] for line in lines(stream)] == ["slow"]


def test_configuring_twice_does_not_write_twice(stream: io.StringIO) -> None:
    logging.getLogger("aiokafka").addHandler(logging.StreamHandler(stream))
    configure_logging("inference", stream=stream)
    logging.getLogger("aiokafka").warning("slow")
    assert [line["event"] for line in lines(stream)] == ["slow"]


def test_lines_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    configure_logging("inference", level="ERROR", stream=stream)
    log.warning("no")
    logging.getLogger("aiokafka").warning("no")
    log.error("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


def test_python_warnings_are_logged(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old", stacklevel=1)
    assert "UserWarning: old" in lines(stream)[0]["event"]


def test_secrets_do_not_get_out(stream: io.StringIO) -> None:
    hide(["correct-horse", SecretStr("battery"), "abc"])
    try:
        fail(RuntimeError("login with correct-horse"))
    except RuntimeError:
        log.exception(
            "redis://u:staple@h and battery",
            sasl_password="x1",
            nested={"api_key": "x2", "urls": ["rediss://:x3@h"]},
            secret_object=SecretStr("x4"),
            value=SecretStr("x5"),
            raw=b"battery",
            short="abc",
        )
    text = stream.getvalue()
    for secret in ("correct-horse", "staple", "battery", "x1", "x2", "x3", "x4", "x5"):
        assert secret not in text
    (line,) = lines(stream)
    assert line["event"] == "redis://**********@h and **********"
    assert line["nested"] == {"api_key": "**********", "urls": ["rediss://**********@h"]}
    assert line["short"] == "abc", "too short to tell from ordinary text"


def test_the_console_format_is_for_people() -> None:
    stream = io.StringIO()
    configure_logging("inference", style="console", stream=stream)
    log.warning("partition lost", topic="events", partition=3, why="two owners")
    time, rest = stream.getvalue().split(" ", 1)
    assert len(time) == len("05:15:00.123")
    assert rest == 'warning partition lost  topic=events partition=3 why="two owners"\n'


def test_a_value_that_json_cannot_hold_is_written_as_text(stream: io.StringIO) -> None:
    log.info("odd \udcff", error=KeyError("x"), big=1 << 80, when=float("nan"), keys={1: np.int64(2)})
    (line,) = lines(stream)
    assert (line["error"], line["big"], line["when"], line["keys"]) == ("'x'", str(1 << 80), None, {"1": 2})
    assert line["event"] == "odd \\udcff"


def test_a_rate_limit_forgets_keys_rather_than_grow() -> None:
    limit = RateLimit(10, clock=lambda: 0.0)
    for key in range(5_000):
        limit.admit(str(key))
    assert len(limit._seen) <= 1_000


def test_of_secrets_within_each_other_no_part_remains(stream: io.StringIO) -> None:
    whole = "/hook/planted-path?key=planted-query"
    hide([whole[:end] for end in range(5, len(whole) + 1)])
    log.warning("refused", error=f"404: {whole}")
    assert lines(stream)[0]["error"] == "404: **********"
