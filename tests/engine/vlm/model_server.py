"""A model's server that answers as a test says, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


def chunks(
    *texts: str, finish: str | None = "stop", usage: dict[str, int] | None = None, cut: threading.Event | None = None
) -> Answer:
    """A stream of these texts; with ``cut`` it breaks off without the body's end, when that is set."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        events: list[dict[str, Any]] = [{"choices": [{"delta": {"content": text}}]} for text in texts]
        if finish:
            events.append({"choices": [{"delta": {}, "finish_reason": finish}], "usage": usage})
        for event in events:
            data = b"data: " + json.dumps(event).encode() + b"\n\n"
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            handler.wfile.flush()
        if cut is None:
            handler.wfile.write(b"0\r\n\r\n")
        else:
            assert cut.wait(30)

    return answer


def status(code: int, **headers: str) -> Answer:
    """That status, and an empty object."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    return answer


class ModelServer:
    """Answers one after the other; the last one goes on."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.left = threading.Event()  # a caller broke off
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                outer.keys.append(self.headers.get("Authorization"))
                self.close_connection = True
                try:
                    (outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0])(self)
                except OSError:
                    outer.left.set()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def model_server(*answers: Answer) -> Iterator[ModelServer]:
    server = ModelServer(*answers)
    try:
        yield server
    finally:
        server.close()
