"""W3C Trace Context: what is a step of a trace, and what is as none."""

import pytest

from protocol.wire.traceparent import TraceContext, parse_trace

TRACE, STEP = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_a_step_is_read_and_told_again():
    step = parse_trace(f"00-{TRACE}-{STEP}-01", "congo=t61rcWkgMzE")
    assert step == TraceContext(TRACE, STEP, 1, "congo=t61rcWkgMzE")
    assert step.headers() == {"traceparent": f"00-{TRACE}-{STEP}-01", "tracestate": "congo=t61rcWkgMzE"}


def test_a_later_version_is_read_as_far_as_it_is_known_and_told_as_this_one():
    step = parse_trace(f"cc-{TRACE}-{STEP}-ff-what-comes-later")
    assert step is not None
    assert step.headers() == {"traceparent": f"00-{TRACE}-{STEP}-01"}


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "secret",
        f"00-{TRACE}-{STEP}",
        f"00-{TRACE}-{STEP}-1",
        f"00-{TRACE}-{STEP}-01-more",
        f"00-{TRACE}-{STEP}-01 ",
        f"00-{TRACE}-{STEP}-01\n",
        f"ff-{TRACE}-{STEP}-01",
        f"00-{'0' * 32}-{STEP}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{STEP}-01",
        f"00-{TRACE[1:]}-{STEP}-01",
        f"00-{TRACE}-{STEP}x-01",
    ],
)
def test_what_is_malformed_is_no_trace(header: str | None):
    assert parse_trace(header, "a=b") is None


@pytest.mark.parametrize("state", ["", "ä=b", "a=b\r\nX-Injected: 1", "a" * 513, None])
def test_a_state_that_may_not_be_sent_on_is_left_out(state: str | None):
    step = parse_trace(f"00-{TRACE}-{STEP}-00", state)
    assert step is not None
    assert step.headers() == {"traceparent": f"00-{TRACE}-{STEP}-00"}
