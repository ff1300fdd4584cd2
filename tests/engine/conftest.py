"""What the engine's tests stand on: the sample clip, shared clips where present, scripted facts, a real engine."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from config.settings import default_data_dir
from engine import sample
from engine.facts.facts import (
    KINDS,
    Clip,
    Colour,
    Examination,
    Fact,
    Heard,
    Look,
    Read,
    Seen,
    Shot,
    Spotted,
    Thing,
    Utterance,
    Word,
    Writing,
)
from engine.facts.timeline import Timeline
from engine.weights import TAGS, THINGS

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "media"


def shared_clip(name: str) -> Path:
    """Return a clip of the shared media; skips, saying so, where they are not."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the shared clip {name} is not on this machine")
    return path


def true_weights() -> Path:
    """Return the directory of the sentence model's weights; skips, saying so, where they are not."""
    path = default_data_dir() / "meaning"
    if not path.is_dir():
        pytest.skip("the weights for meaning are not on this machine: `fanlight models fetch meaning` fetches them")
    return path


def hearing() -> list[str]:
    """The engine's argument for the model that hears, where that is here."""
    path = default_data_dir() / "speech"
    return ["--whisper", str(path)] if path.is_dir() else []


def naming() -> list[str]:
    """The engine's argument for the weights that name things, where they are here."""
    path = default_data_dir() / "things"
    return ["--things", str(path)] if path.is_dir() else []


def speech_model() -> Path:
    """Return the directory of the model that hears; skips, saying so, where it is not."""
    path = default_data_dir() / "speech"
    if not path.is_dir():
        pytest.skip("the speech model is not on this machine: `fanlight models fetch speech` fetches it")
    return path


def true_things() -> Path:
    """Return the directory of the weights that name things; skips, saying so, where they are not."""
    path = default_data_dir() / "things"
    if not (THINGS.lie_in(path) and TAGS.lie_in(path)):
        pytest.skip("the weights for things are not on this machine: `fanlight models fetch things` fetches them")
    return path


@pytest.fixture(scope="session")
def sample_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.mp4"
    sample.render(path)
    return path


CLIP = Clip(10.0, 640, 360, 25.0, "h264", "aac", 1, 44100)
GREEN = Look((Colour("green", "#208040", 0.9),), 0.4, 0.6)
NIGHT = Look((Colour("black", "#000000", 0.95),), 0.02, 0.0)


def shot(start: float, end: float, look: Look = GREEN, **more: Any) -> Shot:
    opening = more.pop("opening", "cut" if start else "start")
    return Shot(start, end, opening, look, more.pop("motion", 0.0), **more)


def spoken(start: float, text: str, confidence: float = 0.9, language: str = "") -> Utterance:
    """An utterance whose words take half a second each."""
    words = tuple(
        Word(word, start + index / 2, start + (index + 1) / 2, confidence) for index, word in enumerate(text.split())
    )
    return Utterance(start, start + len(words) / 2, words, language)


def written(start: float, end: float, text: str, confidence: float = 0.9) -> Writing:
    """A text at the lower left of the picture."""
    return Writing(start, end, text, confidence, (0.05, 0.8, 0.3, 0.9))


def thing(start: float, end: float, name: str = "person", most: int = 1, score: float = 0.7) -> Thing:
    """A thing at the left side of the picture."""
    return Thing(start, end, name, score, (0.1, 0.3, 0.3, 0.7), most)


def scripted(*facts: Fact, clip: Clip = CLIP, **outcomes: str) -> Timeline:
    """A timeline that plays the facts given; speech is settled at the end, the picture when it is over."""
    examinations = {kind: Examination(outcomes.get(kind, "made")) for kind in KINDS}  # type: ignore[arg-type]
    ends = [kind(float("inf")) for kind in (Seen, Heard, Read, Spotted)]
    return Timeline(clip, examinations, iter([*facts, *ends]))


PATIENCE_S = 120.0
_PACE_S = 0.02


class TooLong(AssertionError):
    """What had to come did not."""


def until(
    ask: Callable[[], Any], good: Callable[[Any], bool] = bool, why: str = "", within_s: float = PATIENCE_S
) -> Any:
    """Ask over and over, at a pace that leaves the engine its cores; return the first good answer."""
    end, pace = time.monotonic() + within_s, threading.Event()
    while not good(answer := ask()):
        if time.monotonic() > end:
            raise TooLong(why or f"never came to be: {answer}")
        pace.wait(_PACE_S)
    return answer


@dataclass
class RunningEngine:
    """An engine in a process of its own, as the gateway starts it."""

    process: subprocess.Popen[str]
    socket: Path
    data_dir: Path

    def connect(self) -> HTTPConnection:
        connection = HTTPConnection("engine")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(str(self.socket))
        return connection

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Make a call; return its status and its JSON (None without a body)."""
        connection = self.connect()
        if body is not None and not isinstance(body, bytes):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        connection.request(method, f"/v1.3{path}", body, headers or {})
        response = connection.getresponse()
        assert response.headers["X-Api-Version"] == "1.3"
        text = response.read()
        connection.close()
        return response.status, json.loads(text) if text else None

    def upload(self, path: Path, **fields: str) -> dict[str, Any]:
        """Upload a file; returns the new asset."""
        fields = {"method": "direct", **fields}
        status, asset = self.call("POST", "/assets", *form(fields, (path.name, path.read_bytes())))
        assert status == 201, asset
        return dict(asset)

    def settled(self, asset_id: str) -> dict[str, Any]:
        """Return an asset once it is ready or failed. An analysis waits for that, so ask for one."""
        self.call("POST", "/analyze", {"video_id": asset_id, "prompt": "sound", "stream": False})
        return dict(self.call("GET", f"/assets/{asset_id}")[1])

    def over(self, path: str) -> dict[str, Any]:
        """Return what is at a path once it is ready or failed."""
        told = until(
            lambda: self.call("GET", path)[1], lambda one: one["status"] in ("ready", "failed"), f"{path} stuck"
        )
        return dict(told)

    def stream(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """Stream an analysis; return its events."""
        connection = self.connect()
        connection.request("POST", "/v1.3/analyze", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 200, response.read()
        assert response.headers["Content-Type"] == "application/x-ndjson"
        lines = response.read().split(b"\n")
        connection.close()
        return [json.loads(line) for line in lines if line]


def form(fields: dict[str, str], file: tuple[str, bytes] | None = None) -> tuple[bytes, dict[str, str]]:
    """Return a multipart body and its headers."""
    parts = [
        f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if file is not None:
        head = f'--cut\r\nContent-Disposition: form-data; name="file"; filename="{file[0]}"\r\n\r\n'
        parts.append(head.encode() + file[1] + b"\r\n")
    return b"".join([*parts, b"--cut--\r\n"]), {"Content-Type": "multipart/form-data; boundary=cut"}


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("TWELVELABS_", "FANLIGHT_"))}


def start_engine(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Start an engine; returns when it listens, or has ended instead."""
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
        **options,
    )
    assert process.stderr is not None
    said = ""
    while line := process.stderr.readline():
        if "engine_listening" in line:
            return process
        said += line
    process.wait()
    process.said = said  # type: ignore[attr-defined]
    return process


@contextmanager
def running_engine(home: Path, *arguments: str) -> Iterator[RunningEngine]:
    """Run an engine on a socket in a directory, unless it is told where else to listen."""
    where = () if "--host" in arguments else ("--socket", str(home / "s"))
    process = start_engine(*where, "--data-dir", str(home / "data"), *hearing(), *arguments)
    assert process.stderr is not None
    # Its log is read, or the pipe would fill and stop it.
    reader = threading.Thread(target=process.stderr.read, daemon=True)
    reader.start()
    try:
        yield RunningEngine(process, home / "s", home / "data")
    finally:
        process.terminate()
        process.wait(10)
        reader.join()
        process.stderr.close()


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    with running_engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.fixture(scope="session")
def sample_asset(engine: RunningEngine, sample_clip: Path) -> str:
    """The id of the sample clip in the running engine."""
    return str(engine.upload(sample_clip)["_id"])


Spawn = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start engines that end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        process = start_engine(*arguments, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        for pipe in (process.stdin, process.stderr):
            if pipe is not None:
                pipe.close()
