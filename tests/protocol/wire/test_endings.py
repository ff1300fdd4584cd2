from protocol.wire.endings import CLOCKS, CODES, Ending, Status, status_of_finish

# The contract's table, section 3: code to status.
TABLE = {
    "upstream_truncated": "truncated",
    "upstream_broken": "failed",
    "upstream_unreachable": "failed",
    "upstream_refused": "failed",
    "upstream_timeout_connect": "failed",
    "upstream_timeout_first_event": "failed",
    "upstream_timeout_idle": "failed",
    "upstream_timeout_total": "failed",
    "upstream_protocol": "failed",
    "upstream_error": "failed",
    "cancelled": "cancelled",
    "abandoned": "cancelled",
    "text_too_long": "failed",
    "schema_violation": "failed",
    "interrupted": "failed",
    "internal": "failed",
}


def test_every_code_of_the_contract_has_its_status():
    assert {code: str(CODES[code].status) for code in TABLE} == TABLE


def test_no_failure_looks_like_success():
    well = {code for code, entry in CODES.items() if entry.status in (Status.COMPLETED, Status.LENGTH)}
    assert well == {"upstream_warning"}


def test_the_four_clocks_have_their_own_codes():
    assert {code.removeprefix("upstream_timeout_") for code in CLOCKS} == {"connect", "first_event", "idle", "total"}


def test_an_unknown_finish_reason_is_a_completion():
    assert status_of_finish("content_filter") is Status.COMPLETED
    assert status_of_finish(None) is Status.COMPLETED
    assert status_of_finish("length") is Status.LENGTH


def test_the_error_member_is_told_with_the_upstream_status_only_where_there_is_one():
    ending = Ending(Status.FAILED, 1, 0, "", code="upstream_refused", upstream_status=503)
    assert ending.error == {
        "code": "upstream_refused",
        "message": CODES["upstream_refused"].message,
        "retryable": True,
        "upstream_status": 503,
    }
    refused = Ending(Status.FAILED, 1, 0, "", code="upstream_refused", upstream_status=403)
    assert (refused.error or {})["retryable"] is False
    assert Ending(Status.COMPLETED, 1, 0, "").error is None
    assert "upstream_status" not in (Ending(Status.FAILED, 1, 0, "", code="internal").error or {})
