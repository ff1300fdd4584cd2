"""The audit log as a file: whole lines, moved away without a word, and never in a call's way."""

import os
from pathlib import Path

import orjson
import pytest

from service.watch.audit import AuditLog, AuditRefused


def told(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_a_line_is_json_with_its_time_and_nobody_else_may_read_it(tmp_path: Path):
    path = tmp_path / "audit.jsonl"
    audit = AuditLog(path, wall=lambda: 1_700_000_000.5)
    audit.write({"call": "start", "key": "a\nb"})
    assert told(path) == [{"at": "2023-11-14T22:13:20.500Z", "call": "start", "key": "a\nb"}]
    assert path.stat().st_mode & 0o777 == 0o600
    assert (audit.lines, audit.failures) == (1, 0)
    audit.close()


def test_several_processes_append_to_one_file(tmp_path: Path):
    path = tmp_path / "audit.jsonl"
    one, other = AuditLog(path), AuditLog(path)
    for number, audit in enumerate((one, other, one)):
        audit.write({"number": number})
    assert [line["number"] for line in told(path)] == [0, 1, 2]
    one.close()
    other.close()


def test_a_file_that_was_moved_away_is_begun_anew(tmp_path: Path):
    path = tmp_path / "audit.jsonl"
    audit = AuditLog(path)
    audit.write({"number": 1})
    path.rename(tmp_path / "old.jsonl")
    audit.write({"number": 2})
    os.unlink(path)
    audit.write({"number": 3})
    assert [line["number"] for line in told(tmp_path / "old.jsonl")] == [1]
    assert [line["number"] for line in told(path)] == [3]
    audit.close()


def test_what_cannot_be_written_is_counted_and_stops_no_call(tmp_path: Path):
    path = tmp_path / "there" / "audit.jsonl"
    path.parent.mkdir()
    audit = AuditLog(path)
    path.unlink()
    path.parent.rmdir()
    for _ in range(2):
        audit.write({})
    assert (audit.lines, audit.failures) == (0, 2)
    path.parent.mkdir()
    audit.write({"number": 1})
    assert [line["number"] for line in told(path)] == [1]
    audit.close()


def test_a_file_that_cannot_be_begun_is_refused_by_its_setting(tmp_path: Path):
    with pytest.raises(AuditRefused, match=r"FANLIGHT_AUDIT_LOG names .*No such file"):
        AuditLog(tmp_path / "nowhere" / "audit.jsonl")
