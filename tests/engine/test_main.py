"""Starting and ending the engine: the contract with whoever starts it."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from engine.__main__ import Unusable, listen, lock_directory, main
from tests.engine.conftest import ROOT, RunningEngine, Spawn


def at(home: Path, name: str = "s") -> list[str]:
    return ["--socket", str(home / name), "--data-dir", str(home / "data")]


def test_a_second_engine_on_the_same_directory_says_so_and_ends_with_2(tmp_path: Path, spawn: Spawn) -> None:
    first = spawn(*at(tmp_path))
    second = spawn(*at(tmp_path, "other"))
    assert second.returncode == 2
    assert "in use by another engine" in second.said  # type: ignore[attr-defined]
    assert first.poll() is None


def test_the_socket_is_for_its_owner_alone_and_goes_with_the_engine(tmp_path: Path, spawn: Spawn) -> None:
    process = spawn(*at(tmp_path))
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600
    process.send_signal(signal.SIGTERM)
    assert process.wait(2) == 0
    assert not (tmp_path / "s").exists()


def test_a_running_analysis_does_not_hold_the_end_up(tmp_path: Path, spawn: Spawn, sample_clip: Path) -> None:
    process = spawn(*at(tmp_path))
    engine = RunningEngine(process, tmp_path / "s", tmp_path / "data")
    asset = engine.upload(sample_clip)["_id"]
    engine.settled(asset)
    connection = engine.connect()
    body = json.dumps({"video_id": asset, "prompt": "Summarize"})
    connection.request("POST", "/v1.3/analyze", body, {"Content-Type": "application/json"})
    with connection.getresponse():
        process.send_signal(signal.SIGTERM)
        assert process.wait(2) == 0
    connection.close()


def test_the_end_of_its_parents_pipe_ends_it(tmp_path: Path, spawn: Spawn) -> None:
    process = spawn(*at(tmp_path), "--parent-pipe", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(2) == 0


def test_after_a_kill_the_next_engine_takes_over(tmp_path: Path, spawn: Spawn, sample_clip: Path) -> None:
    first = spawn(*at(tmp_path))
    engine = RunningEngine(first, tmp_path / "s", tmp_path / "data")
    asset = engine.upload(sample_clip)["_id"]
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert (tmp_path / "s").exists()
    second = RunningEngine(spawn(*at(tmp_path)), tmp_path / "s", tmp_path / "data")
    assert second.settled(asset)["status"] == "ready"


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    live = listen(path, None, 0)
    with pytest.raises(Unusable, match="another server listens"):
        listen(path, None, 0)
    live.close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(Unusable, match="not a socket"):
        listen(path, None, 0)
    assert path.read_text() == "precious"


def test_an_address_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Unusable, match="cannot listen"):
        listen(None, "127.0.0.1", taken.getsockname()[1])


def test_a_socket_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="cannot listen"):
        listen(tmp_path / ("x" * 200), None, 0)


def test_a_directory_is_locked_for_as_long_as_it_is_held(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path / "deep" / "data")
    with pytest.raises(Unusable, match="in use"):
        lock_directory(tmp_path / "deep" / "data")
    os.close(lock)
    os.close(lock_directory(tmp_path / "deep" / "data"))


def test_a_directory_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unusable, match="cannot be used"):
        lock_directory(tmp_path / "file" / "data")


@pytest.mark.parametrize("arguments", [[], ["--data-dir", "x"], ["--socket", "a", "--host", "b", "--data-dir", "c"],
                                       ["--socket", "a", "--data-dir", "b", "--workers", "0"]])  # fmt: skip
def test_a_command_line_that_makes_no_sense_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_neither_prompt_nor_words_nor_query_reach_the_log(tmp_path: Path, spawn: Spawn, sample_clip: Path) -> None:
    process = spawn(*at(tmp_path), "--log-level", "debug")
    engine = RunningEngine(process, tmp_path / "s", tmp_path / "data")
    asset = engine.upload(sample_clip)["_id"]
    engine.stream({"video_id": asset, "prompt": "tell me of the PURPLE-SECRET"})
    engine.call("GET", "/assets?asset_ids=QUERY-SECRET")
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    log = process.stderr.read()
    process.wait()
    assert '"route": "/v1.3/analyze"' in log
    for secret in ("PURPLE-SECRET", "QUERY-SECRET", "After a cut"):
        assert secret not in log


def test_the_server_cannot_decode_media() -> None:
    code = "import sys, engine.app; sys.exit('av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(("name", "file"), [("meaning", "model.safetensors"), ("things", "nanodet.onnx")])
def test_weights_that_are_not_there_or_not_the_true_ones_are_an_error_at_once(
    spawn: Spawn, tmp_path: Path, name: str, file: str
) -> None:
    where = ("--socket", str(tmp_path / "s"), "--data-dir", str(tmp_path / "d"), f"--{name}", str(tmp_path / "w"))
    missing = spawn(*where)
    assert missing.returncode == 2
    assert "cannot be read" in missing.said  # type: ignore[attr-defined]
    assert f"fanlight models fetch {name}" in missing.said  # type: ignore[attr-defined]
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / file).write_bytes(b"other")
    wrong = spawn(*where)
    assert wrong.returncode == 2
    assert "its SHA-256 is" in wrong.said  # type: ignore[attr-defined]
