"""A killed engine, started again: nothing is lost, nothing stays in the middle."""

import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import RunningEngine, Spawn

BOTH = [{"model_name": "marengo3.0"}, {"model_name": "pegasus1.2"}]


def run(spawn: Spawn, home: Path) -> RunningEngine:
    process = spawn("--socket", str(home / "s"), "--data-dir", str(home / "data"), "--workers", "1")
    threading.Thread(target=_drain, args=(process,), daemon=True).start()
    return RunningEngine(process, home / "s", home / "data")


def _drain(process: "subprocess.Popen[str]") -> None:
    try:
        while process.stderr is not None and process.stderr.readline():
            pass
    except ValueError:  # closed under our hands, at the end of the test
        pass


def until_over(engine: RunningEngine, path: str) -> dict[str, Any]:
    for _ in range(200_000):
        row = dict(engine.call("GET", path)[1])
        if row["status"] in ("ready", "failed"):
            return row
    raise AssertionError(f"{path} was never over: {row}")


@pytest.mark.parametrize("moment", [pytest.param("pending", marks=pytest.mark.slow), "indexing"])
def test_indexing_goes_on_after_a_kill(spawn: Spawn, tmp_path: Path, sample_clip: Path, moment: str) -> None:
    engine = run(spawn, tmp_path)
    asset = engine.upload(sample_clip)["_id"]
    engine.settled(asset)
    index = engine.call("POST", "/indexes", {"index_name": "films", "models": BOTH})[1]["_id"]
    status, made = engine.call("POST", f"/indexes/{index}/indexed-assets", {"asset_id": asset})
    assert status == 202
    path = f"/indexes/{index}/indexed-assets/{made['_id']}"
    while moment == "indexing" and engine.call("GET", path)[1]["status"] not in ("indexing", "ready"):
        pass
    task = {"video": {"type": "asset_id", "asset_id": asset}, "prompt": "summary"}
    status, analysis = engine.call("POST", "/analyze/tasks", task)
    assert status == 202
    engine.process.send_signal(signal.SIGKILL)
    engine.process.wait(10)
    again = run(spawn, tmp_path)
    row = until_over(again, path)
    assert (row["status"], row["system_metadata"]["duration"]) == ("ready", 8.0)
    told = until_over(again, f"/analyze/tasks/{analysis['task_id']}")
    assert "440 Hz" in told["result"]["data"]
