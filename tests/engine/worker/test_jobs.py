"""The table of jobs."""

from engine.facts.job import KINDS
from engine.worker.jobs import _HOW


def test_every_job_that_can_be_given_can_be_done() -> None:
    assert set(_HOW) == set(KINDS.values())
