"""The harness of the workflow: the service as a user starts it, steps that can fail, a Markdown table.

A step names one method of the API. It is good when the SDK's method was called, when a
request of that verb and path went over the wire, and when no check failed. Nothing is
ticked for having answered.
"""

import functools
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import twelvelabs
from twelvelabs import TwelveLabs
from twelvelabs.core.api_error import ApiError

PATIENCE_S = 240.0


@dataclass(frozen=True)
class Row:
    """One line of the table; ``fault`` is empty when every check held."""

    method: str
    asked: str
    checked: str
    fault: str = ""


@dataclass
class Wire:
    """What went over the wire, as httpx saw it."""

    requests: list[tuple[str, str]] = field(default_factory=list)
    last: httpx.Response | None = None

    def client(self) -> httpx.Client:
        hooks: dict[str, list[Callable[..., Any]]] = {"request": [self._sent], "response": [self._came]}
        return httpx.Client(timeout=120, event_hooks=hooks)

    def _sent(self, request: httpx.Request) -> None:
        self.requests.append((request.method, request.url.path.partition("/v1.3")[2]))

    def _came(self, response: httpx.Response) -> None:
        self.last = response


class Steps:
    """The rows of the table as they are made, and what each must have called."""

    def __init__(self, client: TwelveLabs, wire: Wire, methods: dict[str, tuple[str, str]]) -> None:
        self.client = client
        self.wire = wire
        self.rows: list[Row] = []
        self._methods = methods

    @contextmanager
    def step(self, method: str, asked: str, checked: str) -> Iterator[Callable[..., Any]]:
        """Run one step; yields what calls its method. A failure becomes the row's, and the workflow goes on."""
        called: list[str] = []
        before = len(self.wire.requests)

        @functools.wraps(self._method(method))
        def call(*args: Any, **kwargs: Any) -> Any:
            called.append(method)
            return self._method(method)(*args, **kwargs)

        fault = ""
        try:
            yield call
            assert called, "the method was not called"
            assert self._went(method, before), "no request of this verb and path was sent"
        except Exception as exc:
            frame = traceback.extract_tb(exc.__traceback__)[-1]
            fault = f"{type(exc).__name__}: {str(exc)[:300]} (line {frame.lineno}: {frame.line})"
            print(f"FAILED {method}: {fault}", file=sys.stderr)
        self.rows.append(Row(method, asked, checked, fault))

    def missing(self) -> list[str]:
        """Return the methods that no step was about."""
        return sorted(set(self._methods) - {row.method for row in self.rows})

    def markdown(self) -> str:
        order = list(self._methods)
        rows = sorted(self.rows, key=lambda row: order.index(row.method) if row.method in order else len(order))
        lines = ["| method | what was asked | what was checked | result |", "|---|---|---|---|"]
        for row in rows:
            result = "good" if not row.fault else f"**failed**: {row.fault}"
            lines.append(f"| `{row.method}` | {row.asked} | {row.checked} | {result} |")
        return "\n".join(line.replace("\n", " ") for line in lines)

    def _method(self, name: str) -> Callable[..., Any]:
        """Return the SDK's method; a call that this SDK has dropped is made over plain HTTP."""
        found: Any = self.client
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not None:
            return found  # type: ignore[no-any-return]
        verb, path = self._methods[name]
        template = re.sub(r"\{\w+\}", "{}", path)
        return lambda *idents: self.plain(verb, template.format(*idents))

    def plain(self, verb: str, path: str, **options: Any) -> Any:
        """Make a call without the SDK; a refusal raises what the SDK would."""
        base = self.client._client_wrapper.get_base_url()
        response = self.client._client_wrapper.httpx_client.httpx_client.request(verb, f"{base}{path}", **options)
        if response.status_code >= 400:
            raise ApiError(status_code=response.status_code, body=response.json())
        return response.json() if response.content else None

    def _went(self, method: str, before: int) -> bool:
        if method not in self._methods:
            return True  # a helper
        verb, path = self._methods[method]
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
        return any(sent == verb and pattern.fullmatch(went) for sent, went in self.wire.requests[before:])


@contextmanager
def refused(status: int, code: str, nested: bool = False, says: str = "") -> Iterator[None]:
    """Require that a call is refused so, in the flat or in the nested shape."""
    caught: ApiError | None = None
    try:
        yield
    except ApiError as exc:
        caught = exc
    assert caught is not None, "it was not refused"
    body = _plain(_plain(caught.body)["error"]) if nested else _plain(caught.body)
    assert (caught.status_code, body.get("code")) == (status, code), f"refused with {caught.status_code} {body}"
    assert says in body["message"], body["message"]


def _plain(body: Any) -> dict[str, Any]:
    return dict(body) if isinstance(body, dict) else dict(body.model_dump())


def until(ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    """Ask until an answer is good; never for longer than the patience."""
    end = time.monotonic() + PATIENCE_S
    while not good(answer := ask()):
        assert time.monotonic() < end, f"never came to be: {answer}"
        time.sleep(0.1)
    return answer


def read_methods(surface: Path) -> dict[str, tuple[str, str]]:
    """Return each method's verb and path, as the API's description has them."""
    told = json.loads(surface.read_text())["methods"]
    return {one["method"]: (one["verb"], one["path"]) for one in told}


@contextmanager
def service(home: Path, weights: bool) -> Iterator[str]:
    """Run ``fanlight serve`` with the embedded engine on a free port; yields its address."""
    log = home / "log"
    ours = ("TWELVELABS_", "FANLIGHT_", "PYTHONPATH")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    env |= {"FANLIGHT_PORT": "0", "FANLIGHT_DATA_DIR": str(home / "data"), "FANLIGHT_UPSTREAM_URL": "embedded"}
    # The clips are fetched from this machine in the steps that name a URL.
    env |= {"FANLIGHT_ENGINE_PRIVATE_URLS": "true"}
    if not weights:
        env["XDG_DATA_HOME"] = str(home / "no-weights")
    with log.open("wb") as sink:
        command = [str(Path(sys.executable).with_name("fanlight")), "serve"]
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env=env)
    try:
        yield until(lambda: _address(log, process), bool)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _address(log: Path, process: "subprocess.Popen[bytes]") -> str:
    text = log.read_text()
    assert process.poll() is None, f"the service ended: {text[-500:]}"
    found = re.search(r"http://127\.0\.0\.1:[1-9]\d*", text)
    if found is None:
        return ""
    try:
        return found[0] if httpx.get(f"{found[0]}/v1.3/assets").status_code == 200 else ""
    except httpx.TransportError:
        return ""


@contextmanager
def file_server(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP, as somebody's web site would; yields its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def sdk_version() -> str:
    return str(twelvelabs.__version__)
