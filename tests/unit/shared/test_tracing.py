from __future__ import annotations

import pytest

from shared.tracing import TraceContext, new_trace, parse_traceparent, trace_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_child_keeps_the_trace_and_the_decision_to_sample() -> None:
    parent = TraceContext(TRACE, SPAN, sampled=False)
    child = parent.child()
    assert (child.trace_id, child.sampled) == (TRACE, False)
    assert child.span_id != SPAN
    assert parse_traceparent(child.header()[1]) == child


def test_a_new_trace_is_valid() -> None:
    trace = new_trace()
    assert parse_traceparent(trace.header()[1]) == trace


@pytest.mark.parametrize(
    "value",
    [
        b"",
        f"00-{TRACE}-{SPAN}".encode(),
        f"00-{TRACE.upper()}-{SPAN}-01".encode(),
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"00-{TRACE}-{SPAN}-01-extra".encode(),
        f"ff-{TRACE}-{SPAN}-01".encode(),
        f"00-{TRACE}-{SPAN}-0x".encode(),
        b"\xff\xfe",
    ],
)
def test_an_invalid_value_counts_as_absent(value: bytes) -> None:
    assert parse_traceparent(value) is None


def test_a_later_version_is_read_by_the_fields_known_here() -> None:
    value = f"01-{TRACE}-{SPAN}-03-more".encode()
    assert parse_traceparent(value) == TraceContext(TRACE, SPAN, sampled=True)


def test_the_header_is_found_among_others_whatever_its_case() -> None:
    headers = [("other", b"x"), ("Traceparent", f"00-{TRACE}-{SPAN}-00".encode())]
    assert trace_of(headers) == TraceContext(TRACE, SPAN, sampled=False)
    assert trace_of([("traceparent", None)]) is None
    assert trace_of([]) is None
