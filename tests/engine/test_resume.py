"""A killed engine, started again: nothing is lost, nothing stays in the middle."""

import signal
from pathlib import Path

import pytest

from tests.engine.conftest import running_engine, until

BOTH = [{"model_name": "marengo3.0"}, {"model_name": "pegasus1.2"}]


@pytest.mark.parametrize("moment", [pytest.param("pending", marks=pytest.mark.slow), "indexing"])
def test_indexing_goes_on_after_a_kill(tmp_path: Path, sample_clip: Path, moment: str) -> None:
    with running_engine(tmp_path, "--workers", "1") as engine:
        asset = engine.upload(sample_clip)["_id"]
        engine.settled(asset)
        index = engine.call("POST", "/indexes", {"index_name": "films", "models": BOTH})[1]["_id"]
        status, made = engine.call("POST", f"/indexes/{index}/indexed-assets", {"asset_id": asset})
        assert status == 202
        path = f"/indexes/{index}/indexed-assets/{made['_id']}"
        if moment == "indexing":
            until(lambda: engine.call("GET", path)[1]["status"], lambda status: status in ("indexing", "ready"))
        task = {"video": {"type": "asset_id", "asset_id": asset}, "prompt": "summary"}
        status, analysis = engine.call("POST", "/analyze/tasks", task)
        assert status == 202
        engine.process.send_signal(signal.SIGKILL)
        engine.process.wait(10)
    with running_engine(tmp_path, "--workers", "1") as again:
        row = again.over(path)
        assert (row["status"], row["system_metadata"]["duration"]) == ("ready", 8.0)
        told = again.over(f"/analyze/tasks/{analysis['task_id']}")
        assert "440 Hz" in told["result"]["data"]
