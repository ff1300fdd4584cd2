"""Jobs on their way to a worker."""

from pathlib import Path

import pytest

from engine.facts.intent import Intent
from engine.facts.job import Analyze, CutPiece, FindPieces, Job, Measure, Probe, Sketch, Thumbnail, from_line, to_line

FILE = Path("/media/ab")


@pytest.mark.parametrize(
    "job",
    [
        Probe(FILE),
        Measure(FILE),
        Sketch(FILE),
        Thumbnail(FILE, 1.5),
        FindPieces(FILE),
        CutPiece(FILE, None, 6.0),
        Analyze(FILE, Intent(("moment", "text"), (1.0, 2.0)), None, {"facts": []}, 3600.0, Path("/weights")),
        Analyze(FILE, Intent(("transcript",), about="a dog"), {"type": "object"}, None, 60.0, None),
    ],
    ids=lambda job: type(job).__name__,
)
def test_a_job_crosses_the_pipe_as_it_is(job: Job) -> None:
    line = to_line(job)
    assert line.count(b"\n") == 1
    assert from_line(line) == job


@pytest.mark.parametrize("line", [b"{}", b'{"kind": "probe"}', b'{"kind": "other", "path": "/a"}'])
def test_another_line_is_no_job(line: bytes) -> None:
    with pytest.raises((KeyError, TypeError)):
        from_line(line)
