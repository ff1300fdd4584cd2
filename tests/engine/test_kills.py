"""Kill -9 at random moments: nothing is lost, nothing stays in the middle, each call that was hit is told.

Clients work all the time and write down what they were answered. A seeded row of kills
hits the engine, which is then started again on the same directory, and the processes
below it. What was answered is held against the engine after each start and at the end.
"""

import base64
import hashlib
import json
import os
import random
import select
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, IncompleteRead
from pathlib import Path
from typing import Any

import pytest

from engine.senses import missing_reader
from engine.store.tables import REFERENCES
from tests.engine.conftest import (
    PATIENCE_S,
    ROOT,
    TooLong,
    clean_environment,
    form,
    hearing,
    naming,
    shared_clip,
    until,
)

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes through /proc")

MARK = "ENGINE_UNDER_FIRE"
MODELS = [{"model_name": "marengo3.0"}, {"model_name": "pegasus1.2"}]
PROMPTS = ("Which colours?", "Transcribe it", "Summarize")
WORKS = (
    "uploads", "uploads_in_chunks", "indexes", "brings_by_task", "streams", "asks", "leaves_tasks", "deletes",
)  # fmt: skip
FINAL = ("ready", "failed")
CHUNK = 8 * 1024**2


class Broken(Exception):
    """The connection broke before the answer was whole: the call is told, and nothing is promised."""


def padded(clip: bytes, number: int, size: int = 8) -> bytes:
    """The same film in bytes that no other has: a box that players pass over."""
    filling = number.to_bytes(8, "big") * (size // 8)
    return clip + (8 + len(filling)).to_bytes(4, "big") + b"free" + filling


class UnderFire:
    """An engine that is killed and started again, and its processes, which carry a mark."""

    def __init__(self, home: Path, mark: str) -> None:
        self.socket = home / "s"
        self.data = home / "data"
        self._log = home / "log"
        self._mark = f"{MARK}={mark}".encode()
        self._environment = {**clean_environment(), MARK: mark}
        self.up = threading.Event()
        self.given_up = False
        self.start()
        self.wait_until_up()
        self.up.set()

    def close(self) -> None:
        """End it, and all who wait for it."""
        self.given_up = True
        self.process.kill()
        self.process.wait()
        self.up.set()

    def start(self) -> None:
        command = [sys.executable, "-m", "engine", "--socket", str(self.socket), "--data-dir", str(self.data)]
        command += ["--workers", "2", "--threads", "2", *hearing(), *naming()]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stderr=log, env=self._environment)

    def wait_until_up(self) -> None:
        until(self._answers, why="the engine does not start")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()[-2000:]
        with suppress(Broken):
            return self.exchange("GET", "/assets?page_limit=1")[0] == 200
        return False

    def stays_up(self, for_s: float) -> None:
        """Let time pass in which nobody kills it: it must not end by itself."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(for_s)
        assert self.process.returncode is None, self._log.read_text()[-2000:]

    def kill(self) -> list[int]:
        """Kill the engine; return handles of what ran below it."""
        self.up.clear()  # who has not begun a call waits; those under way are hit
        self.process.kill()
        self.process.wait()
        return [handle for pids in self.below().values() for pid in pids if (handle := handle_of(pid))]

    def below(self) -> dict[str, list[int]]:
        """The living processes below the engine, by what they are."""
        found: dict[str, list[int]] = {"worker": [], "listener": [], "reader": [], "spotter": []}
        for pid, name in self._marked():
            if name in found:
                found[name].append(pid)
        return found

    def _marked(self) -> Iterator[tuple[int, str]]:
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, IndexError):
                if self._mark in (entry / "environ").read_bytes():
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    name = next((word for word in words if word.startswith(b"engine.")), b".").rpartition(b".")[2]
                    yield int(entry.name), name.decode()

    def zombies(self) -> list[str]:
        """Children that the engine did not bury."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state == "Z" and int(parent) == self.process.pid:
                    found.append(entry.name)
        return found

    def exchange(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Make a call; return status, headers and the whole body.

        Raises:
            Broken: its first argument is what had come.
        """
        assert not self.given_up
        if body is not None and not isinstance(body, bytes):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        with closing(HTTPConnection("engine")) as connection:
            try:
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.settimeout(PATIENCE_S)
                connection.sock.connect(str(self.socket))
                connection.request(method, f"/v1.3{path}", body, headers or {})
                response = connection.getresponse()
                return response.status, dict(response.headers), response.read()
            except IncompleteRead as exc:
                raise Broken(exc.partial) from exc
            except TimeoutError as exc:
                raise AssertionError(f"{method} {path} hangs") from exc
            except (OSError, HTTPException) as exc:
                raise Broken(b"") from exc

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Make a call when there is an engine; return its status and its JSON."""
        assert self.up.wait(PATIENCE_S)
        return self.call_now(method, path, body, headers)

    def call_now(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        status, _, text = self.exchange(method, path, body, headers)
        return status, json.loads(text) if text else None

    def ask_again(self, method: str, path: str) -> tuple[int, Any]:
        """Make a call that changes nothing, again after each kill."""
        while True:
            with suppress(Broken):
                return self.call(method, path)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.data}/engine.sqlite3?mode=ro", uri=True)) as db:
            return db.execute(sql).fetchall()

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]


def handle_of(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


@dataclass
class Ledger:
    """What was answered.

    Attributes:
        made: paths under which something must be found.
        gone: paths under which nothing may be found any more.
        sha256s: the bytes of an asset that was uploaded in full.
        ended: how a thing was told when it had ended: so it stays.
        texts: what an analysis says of a film, the same each time.
        count: answers by kind.
    """

    made: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    sha256s: dict[str, str] = field(default_factory=dict)
    ended: dict[str, Any] = field(default_factory=dict)
    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    count: Counter[str] = field(default_factory=Counter)

    def look(self, path: str, ask: Callable[[str, str], tuple[int, Any]]) -> bool:
        """Hold what is told against what was known; say whether the thing has ended."""
        known = path in self.ended  # before it is asked for: others look as well
        status, told = ask("GET", path)
        assert status == 200, f"{path} is lost: {status} {told}"
        if "status" not in told:  # an index
            return True
        if told["status"] not in FINAL:
            assert not known, f"{path} had ended, and is {told['status']}"
            return False
        if told["status"] == "failed":
            assert (told["error"]["code"], bool(told["error"]["message"])) == ("internal_error", True), told
        assert self.ended.setdefault(path, told) == told, f"{path} has changed"
        return True

    def says(self, film: str, prompt: str, text: str) -> None:
        assert self.texts.setdefault((film, prompt), text) == text, f"{prompt} says something else of {film}"


class Clients:
    """Those who use the engine, each in a thread of its own, until the run is over.

    Args:
        works: which of the methods below they go on with.
    """

    def __init__(
        self,
        engine: UnderFire,
        films: dict[str, bytes],
        seed: int,
        works: Sequence[str] = WORKS,
    ) -> None:
        self.engine = engine
        self.ledger = Ledger()
        self._films = films
        self._over = threading.Event()
        self._number = iter(range(seed * 1000, seed * 1000 + 1_000_000))
        self._index = self._made("/indexes", {"index_name": "films", "models": MODELS})
        self._base = {name: self._upload(film) for name, film in films.items()}
        for path in self._base.values():
            assert self._end(path)["status"] == "ready"
        self._threads = ThreadPoolExecutor(len(works))
        self._running = [self._threads.submit(self._go_on, work, seed + place) for place, work in enumerate(works)]

    def close(self) -> None:
        """Let each finish what it is at."""
        self._over.set()
        self._threads.shutdown()
        for one in self._running:
            one.result()

    def check(self) -> None:
        """See that nobody has found a fault so far."""
        for one in self._running:
            if one.done():
                one.result()

    def _go_on(self, work: str, seed: int) -> None:
        chance = random.Random(seed)
        while not self._over.is_set():
            try:
                getattr(self, work)(chance)
                self.ledger.count[work] += 1
            except Broken:
                self.ledger.count["broken"] += 1

    # -- what they do ------------------------------------------------------

    def uploads(self, chance: random.Random) -> None:
        self._end(self._upload(self._film(chance)))

    def uploads_in_chunks(self, chance: random.Random) -> None:
        content = padded(self._films["sample"], next(self._number), CHUNK)
        status, made = self.engine.call(
            "POST", "/assets/multipart-uploads", {"filename": "x.mp4", "type": "video", "total_size": len(content)}
        )
        assert status == 201, made
        self.ledger.made.add(f"/assets/{made['asset_id']}")
        places = [one["chunk_index"] for one in made["upload_urls"]]
        urls = {one["chunk_index"]: one["url"].partition("/v1.3")[2] for one in made["upload_urls"]}
        proofs: dict[int, str] = {}
        for place in chance.sample(places, len(places)):
            chunk = content[(place - 1) * CHUNK : place * CHUNK]
            proofs[place] = self._put(urls[place], chunk)
            if chance.random() < 0.5:  # other bytes, which are not what is meant
                with suppress(Broken):
                    self._put_once(urls[place], bytes(len(chunk)))
        self._report(made["upload_id"], content, urls, proofs)
        self.ledger.sha256s[made["asset_id"]] = hashlib.sha256(content).hexdigest()
        self._end(f"/assets/{made['asset_id']}")

    def indexes(self, chance: random.Random) -> None:
        asset = self._upload(self._film(chance))
        path = f"/indexes/{self._index}/indexed-assets"
        if self._end(asset)["status"] == "ready":
            self._end(f"{path}/{self._made(path, {'asset_id': asset.rpartition('/')[2]})}")

    def brings_by_task(self, chance: random.Random) -> None:
        film = self._film(chance)
        body, headers = form({"index_id": self._index, "enable_video_stream": "false"}, ("x.mp4", film))
        body = body.replace(b'name="file"', b'name="video_file"', 1)
        status, task = self.engine.call("POST", "/tasks", body, headers)
        assert status == 200, task
        video = f"/indexes/{self._index}/indexed-assets/{task['video_id']}"
        self.ledger.made |= {f"/tasks/{task['_id']}", video}
        self._end(f"/tasks/{task['_id']}")
        if chance.random() < 0.5:
            self._delete(video)

    def streams(self, chance: random.Random) -> None:
        film, asset, prompt = self._asked(chance)
        assert self.engine.up.wait(PATIENCE_S)
        try:
            status, _, body = self.engine.exchange("POST", "/analyze", {"video_id": asset, "prompt": prompt})
            whole = True
        except Broken as exc:
            status, body, whole = 200, exc.args[0], False
        if status != 200:
            assert (status, json.loads(body)["code"]) == (500, "internal_error"), body
            raise Broken
        events = [json.loads(line) for line in body.split(b"\n")[:-1] if line]
        if not events or events[-1].get("event_type") != "stream_end":
            assert not whole, f"a truncated stream looks whole: {body[-200:]!r}"
            raise Broken
        self.ledger.says(film, prompt, "".join(event.get("text", "") for event in events))

    def asks(self, chance: random.Random) -> None:
        film, asset, prompt = self._asked(chance)
        status, told = self.engine.call("POST", "/analyze", {"video_id": asset, "prompt": prompt, "stream": False})
        if status == 200:
            self.ledger.says(film, prompt, told["data"])
        else:
            assert (status, told["code"]) == (500, "internal_error"), told
            raise Broken

    def leaves_tasks(self, chance: random.Random) -> None:
        film, asset, prompt = self._asked(chance)
        video: dict[str, Any] = {"type": "asset_id", "asset_id": asset}
        if chance.random() < 0.5:
            content = padded(self._films[film], next(self._number))
            video = {"type": "base64_string", "base64_string": base64.b64encode(content).decode()}
        task = self._made("/analyze/tasks", {"video": video, "prompt": prompt})
        told = self._end(f"/analyze/tasks/{task}")
        if told["status"] == "ready":
            self.ledger.says(film, prompt, told["result"]["data"])
        if chance.random() < 0.3:
            self._delete(f"/analyze/tasks/{task}")

    def deletes(self, chance: random.Random) -> None:
        path = self._upload(self._film(chance))
        if chance.random() < 0.5:
            self._end(path)
        self._delete(path)

    # -- how they do it ----------------------------------------------------

    def _film(self, chance: random.Random) -> bytes:
        return padded(self._films[chance.choice(sorted(self._films))], next(self._number))

    def _asked(self, chance: random.Random) -> tuple[str, str, str]:
        film = chance.choice(sorted(self._films))
        return film, self._base[film].rpartition("/")[2], chance.choice(PROMPTS)

    def _upload(self, film: bytes) -> str:
        status, asset = self.engine.call("POST", "/assets", *form({"method": "direct"}, ("x.mp4", film)))
        assert status == 201, asset
        self.ledger.sha256s[asset["_id"]] = hashlib.sha256(film).hexdigest()
        self.ledger.made.add(f"/assets/{asset['_id']}")
        return f"/assets/{asset['_id']}"

    def _made(self, path: str, body: dict[str, Any]) -> str:
        status, made = self.engine.call("POST", path, body)
        assert status in (201, 202), made
        ident = str(made.get("_id") or made["task_id"])
        self.ledger.made.add(f"{path}/{ident}")
        return ident

    def _end(self, path: str) -> Any:
        """Follow a thing to its end."""
        # An engine that is killed every other second does not get far: patience begins with each engine.
        while True:
            process = self.engine.process
            try:
                until(lambda: self.ledger.look(path, self.engine.ask_again), why=f"{path} is stuck")
                break
            except TooLong:
                if self.engine.process is process:
                    raise
        return self.ledger.ended.get(path)

    def _delete(self, path: str) -> None:
        self.ledger.made.discard(path)  # from now on it may be gone
        status, told = self.engine.call("DELETE", path)
        assert status == 204, told
        self.ledger.gone.add(path)

    def _put(self, url: str, chunk: bytes) -> str:
        """Put a chunk, again after each kill."""
        while True:
            with suppress(Broken):
                return self._put_once(url, chunk)

    def _put_once(self, url: str, chunk: bytes) -> str:
        assert self.engine.up.wait(PATIENCE_S)
        status, headers, body = self.engine.exchange("PUT", url, chunk)
        assert status == 200, body
        assert headers["ETag"].strip('"') == hashlib.md5(chunk).hexdigest()
        return headers["ETag"]

    def _report(self, upload: str, content: bytes, urls: dict[int, str], proofs: dict[int, str]) -> None:
        """Report the chunks until all are taken; what was written over is put again."""
        left = dict(proofs)
        while left:
            place, proof = next(iter(left.items()))
            chunk = content[(place - 1) * CHUNK : place * CHUNK]
            report = {"chunk_index": place, "proof_type": "etag", "proof": proof, "chunk_size": len(chunk)}
            with suppress(Broken):
                status, told = self.engine.call(
                    "POST", f"/assets/multipart-uploads/{upload}", {"completed_chunks": [report]}
                )
                if status == 200:
                    del left[place]
                else:
                    assert "is not that of the bytes" in told["message"], told
                    self._put(urls[place], chunk)


# -- what must be true ---------------------------------------------------------


def check_answers(clients: Clients) -> None:
    """What was answered is there, as it was; what was deleted is not."""
    for path in sorted(clients.ledger.made):
        clients.ledger.look(path, clients.engine.call_now)
    for path in sorted(clients.ledger.gone):
        assert clients.engine.call_now("GET", path)[0] == 404, f"{path} is back"


def check_files(engine: UnderFire, leftover: set[str]) -> None:
    """Files and rows belong to each other; what was on its way in is gone; the database is sound."""
    assert not leftover & set(os.listdir(engine.data / "incoming"))
    until(
        lambda: files(engine) == {row[0] for row in engine.rows(REFERENCES)}, why="files and rows differ", within_s=20
    )
    assert engine.rows("PRAGMA integrity_check") == [("ok",)]
    assert engine.rows("PRAGMA foreign_key_check") == []


def files(engine: UnderFire) -> set[str]:
    return {path.name for path in (engine.data / "media").glob("*/*")}


def check_bytes(clients: Clients) -> None:
    """Every asset consists of the bytes that were uploaded."""
    kept = dict(clients.engine.rows("SELECT id, sha256 FROM assets"))
    for path in clients.ledger.made:
        ident = path.removeprefix("/assets/")
        if ident in clients.ledger.sha256s:
            assert kept[ident] == clients.ledger.sha256s[ident]
    for sha256 in files(clients.engine):
        content = (clients.engine.data / "media" / sha256[:2] / sha256).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256


def check_ends(clients: Clients) -> None:
    """All that was begun ends; no process and no file is left over."""
    engine, ledger = clients.engine, clients.ledger
    for path in sorted(ledger.made):
        clients._end(path)
    stuck = "SELECT id, status FROM {} WHERE status NOT IN ('ready', 'failed')"
    for table in ("assets", "indexed", "tasks", "analyze_tasks"):
        query = stuck.format(table)
        # Also what was written and never answered; an upload in chunks that nobody goes on with waits for its day.
        query += " AND id NOT IN (SELECT asset_id FROM uploads WHERE status = 'active')" if table == "assets" else ""
        until(lambda query=query: not engine.rows(query), why=f"stuck in {table}")  # type: ignore[misc]
    active = {row[0] for row in engine.rows("SELECT id FROM uploads WHERE status = 'active'")}
    until(lambda: set(os.listdir(engine.data / "uploads")) <= active, why="chunks are left over", within_s=20)
    until(lambda: not os.listdir(engine.data / "incoming"), why="bytes are left on their way", within_s=20)
    until(lambda: not engine.zombies(), why="the engine leaves zombies", within_s=20)
    broke = [line for line in engine.log() if line["event"].endswith("_broke") and line["level"] == "error"]
    assert not broke, broke


def wait_for_death(handles: list[int]) -> None:
    """What ran below a killed engine ends by itself, at the end of its pipe."""
    for handle in handles:
        assert select.select([handle], [], [], 30)[0], "a process lives on without its engine"
        os.close(handle)


def kill_engine(clients: Clients, chance: random.Random) -> None:
    engine = clients.engine
    handles = engine.kill()
    if chance.random() < 0.25:  # also while it starts, and takes up what was left
        engine.start()
        with suppress(subprocess.TimeoutExpired):
            engine.process.wait(chance.uniform(0.1, 1.5))
        handles += engine.kill()
    leftover = set(os.listdir(engine.data / "incoming"))
    engine.start()
    engine.wait_until_up()
    check_answers(clients)
    check_files(engine, leftover)
    engine.up.set()
    wait_for_death(handles)


def kill_below(clients: Clients, kind: str, chance: random.Random) -> None:
    """Kill one of a kind; where there is none just now, wait for one."""
    while True:
        pid = chance.choice(until(lambda: clients.engine.below()[kind], why=f"there is no {kind}"))
        with suppress(ProcessLookupError):
            os.kill(pid, 9)
            return


def fire(clients: Clients, kinds: list[str], chance: random.Random) -> None:
    began = time.monotonic()
    for kind in kinds:
        clients.engine.stays_up(chance.uniform(0.05, chance.choice((0.5, 2.0, 6.0))))
        sys.stdout.write(f"{time.monotonic() - began:6.1f} s: {kind}\n")  # to be seen with -s
        kill_engine(clients, chance) if kind == "engine" else kill_below(clients, kind, chance)
        clients.check()
    clients.close()
    check_ends(clients)
    check_bytes(clients)
    check_files(clients.engine, set())
    sys.stdout.write(f"{time.monotonic() - began:6.1f} s: {Counter(kinds)}, {clients.ledger.count}\n")
    wait_for_death(clients.engine.kill())
    assert not any(clients.engine.below().values())


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[UnderFire]:
    engine = UnderFire(tmp_path, mark=tmp_path.name)
    yield engine
    engine.close()


def below(count: int) -> list[str]:
    """Kinds of processes below the engine to be killed, as far as the packages make some."""
    kinds = ["worker", "worker"]
    kinds += ["listener", "listener"] if hearing() else []
    kinds += [] if missing_reader() else ["reader"]
    kinds += ["spotter"] if naming() else []
    return [kinds[number % len(kinds)] for number in range(count)]


def test_an_engine_killed_among_uploads_loses_nothing(engine: UnderFire, sample_clip: Path) -> None:
    works = ("uploads", "uploads_in_chunks", "deletes")
    fire(Clients(engine, {"sample": sample_clip.read_bytes()}, 1, works), ["engine"], random.Random(1))


@pytest.mark.slow
def test_fifty_kills_lose_nothing(engine: UnderFire, sample_clip: Path) -> None:
    films = {"sample": sample_clip.read_bytes(), "speech": shared_clip("webb.mp4").read_bytes()}
    seed = int(os.environ.get("KILL_SEED", "50"))
    chance = random.Random(seed)
    kinds = ["engine"] * 22 + below(28)
    chance.shuffle(kinds)
    fire(Clients(engine, films, seed), kinds, chance)
