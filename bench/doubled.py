"""Whether twice the bytes cost twice the time: every parser that a stranger's bytes reach, on inputs made to hurt.

    python -m bench.doubled [name of a parser ...]

Processor time at a size and at twice that size, the best of three runs of each; linear is a ratio of 2. Inputs
on which a parser stops at once are left out. The browser module is measured where there is a `node`.

One line is worse by design: a text that is one number so far is read again as a whole at each piece, up to 4,096
characters, and counts as prose from there on.
"""

import asyncio
import gc
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aiohttp import BodyPartReader, MultipartReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader

from fanlight.client import apply_op
from protocol.captions.projection import CaptionView
from protocol.captions.subtitles import Subtitles
from protocol.json.bounds import nesting
from protocol.json.push import JsonPush, JsonRefused
from protocol.json.span import end_of_value, ends_of
from protocol.json.wrapping import find_document
from protocol.ndjson import dumps
from protocol.schema.admitted import admit
from protocol.schema.early import EarlyCheck
from protocol.schema.pattern_cost import cost
from protocol.schema.verdict import judge
from protocol.upstream.decoder import Decoder
from protocol.upstream.events import plain_texts
from protocol.upstream.lines import LineBuffer
from protocol.upstream.textlog import TextLog
from protocol.views.elements import ElementView
from protocol.views.patch import PatchView, join_ops
from protocol.wire.frames import CLOSE, PING, TEXT
from protocol.wire.websocket import WebSocketReader

RUNS = 3
WORSE = 2.3  # a ratio above this needs an explanation
AT_ONCE_S = 5e-5

Work = Callable[[], object]
CASES: dict[str, list[tuple[str, int, Callable[[int], Work]]]] = {}


def case(parser: str, name: str, size: int) -> Callable[[Callable[[int], Work]], Callable[[int], Work]]:
    """Register an input: a function of its size that returns the work to be timed."""

    def note(make: Callable[[int], Work]) -> Callable[[int], Work]:
        CASES.setdefault(parser, []).append((name, size, make))
        return make

    return note


def on(work: Callable[[Any], object], text: Callable[[int], Any]) -> Callable[[int], Work]:
    """The work on one text, which is made before the clock runs."""

    def make(n: int) -> Work:
        made = text(n)
        return lambda: work(made)

    return make


def pieces_of(text: Any, size: int) -> list[Any]:
    return [text[at : at + size] for at in range(0, len(text), size)]


# -- WebSocket frames


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    size = len(payload)
    head = bytes((0x80 | size,)) if size < 126 else b"\xff" + size.to_bytes(8, "big")
    return bytes(((0x80 if final else 0) | opcode,)) + head + bytes(4) + payload


def sockets(pieces: list[bytes], frames: int = sys.maxsize) -> Work:
    def work() -> None:
        reader = WebSocketReader(1 << 30)
        for piece in pieces:
            reader.feed(piece)
            reader.take(frames)
        while reader.waiting:
            reader.take(frames)

    return work


for name, size, wire in (
    (
        "one-byte fragments, at once",
        20_000,
        lambda n: [frame(TEXT, b"", final=False) + frame(0, b"x", final=False) * n],
    ),
    ("empty fragments, at once", 20_000, lambda n: [frame(TEXT, b"", final=False) + frame(0, b"", final=False) * n]),
    (
        "one-byte fragments, a byte at a time",
        5_000,
        lambda n: pieces_of(frame(TEXT, b"x", final=False) + frame(0, b"x", final=False) * n, 1),
    ),
    ("one huge frame, a byte at a time", 50_000, lambda n: pieces_of(frame(TEXT, b"x" * n), 1)),
    ("one huge frame, at once", 4_000_000, lambda n: [frame(TEXT, b"x" * n)]),
    ("pings, at once", 20_000, lambda n: [frame(PING, b"") * n]),
    (
        "frames behind a close frame",
        20_000,
        lambda n: [frame(PING, b"") * n + frame(CLOSE, b"") + frame(PING, b"") * n],
    ),
):
    case("websocket", name, size)(lambda n, wire=wire: sockets(wire(n)))
case("websocket", "one-byte fragments, 64 frames a turn", 20_000)(
    lambda n: sockets([frame(TEXT, b"", final=False) + frame(0, b"x", final=False) * n], 64)
)
case("websocket", "one-byte fragments, a frame a turn", 5_000)(
    lambda n: sockets([frame(TEXT, b"", final=False) + frame(0, b"x", final=False) * n], 1)
)

# -- lines and events


def lines(pieces: list[bytes]) -> Work:
    def work() -> None:
        buffer = LineBuffer(1 << 30)
        for piece in pieces:
            buffer.feed(piece)
        buffer.end()

    return work


def events(pieces: list[bytes]) -> Work:
    def work() -> None:
        decoder = Decoder(1 << 30)
        log = TextLog(1 << 30)
        decoder.feed(b'{"event_type":"stream_start"}\n')
        for piece in pieces:
            log.extend(decoder.feed(piece)[0])
        log.sha256()

    return work


EVENT = b'{"event_type":"text_generation","text":"%b"}\n'
for name, size, wire in (
    ("one line without end, a byte at a time", 200_000, lambda n: pieces_of(b"x" * n, 1)),
    ("one line without end, at once", 2_000_000, lambda n: [b"x" * n]),
    ("empty lines, at once", 300_000, lambda n: [b"\n" * n]),
    ("empty lines, a byte at a time", 200_000, lambda n: pieces_of(b"\n" * n, 1)),
    ("carriage returns, a byte at a time", 200_000, lambda n: pieces_of(b"\r" * n, 1)),
):
    case("lines", name, size)(lambda n, wire=wire: lines(wire(n)))
for name, size, wire in (
    ("short events, at once", 20_000, lambda n: [EVENT % b"x" * n]),
    ("short events, a byte at a time", 1_000, lambda n: pieces_of(EVENT % b"x" * n, 1)),
    ("one huge event, in 64 bytes", 2_000_000, lambda n: pieces_of(EVENT % (b"x" * n), 64)),
    ("backslashes that look like quotes, at once", 5_000, lambda n: [EVENT % (b'\\\\\\"' * 4) * n]),
    ("halves of surrogate pairs, each in its own event", 5_000, lambda n: [(EVENT % b"\\ud83d") * n]),
    ("nested events", 3_000, lambda n: [(b'{"event_type":"x","y":' + b"[" * 60 + b"]" * 60 + b"}\n") * n]),
    ("numbers of many digits", 30, lambda n: [(b'{"event_type":"x","y":"\\ud83d","z":' + b"9" * 4000 + b"}\n") * n]),
):
    case("events and text log", name, size)(lambda n, wire=wire: events(wire(n)))
case("events and text log", "almost plain lines, read together", 20_000)(
    lambda n: lambda: plain_texts([(EVENT % b"x").strip()] * n + [b"{}"])
)

# -- JSON as it grows

SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["x" * 30_000, "y" * 10_000]},
        "list": {"type": "array", "uniqueItems": True, "items": {"type": ["string", "number", "array", "object"]}},
    },
    "patternProperties": {"^p": {"type": "number"}},
}


class Nothing:
    """A listener that asks for nothing."""

    def began(self, kind: Any, at: int) -> None: ...
    def named(self, name: str, at: int) -> None: ...
    def grew(self, text: str, at: int) -> None: ...
    def more(self, at: int) -> None: ...
    def closed(self, value: Any, at: int) -> None: ...
    def withdrawn(self, at: int) -> None: ...


def push(pieces: list[str]) -> Work:
    def work() -> None:
        parser = JsonPush(Nothing())
        try:
            for piece in pieces:
                parser.feed(piece)
            parser.close()
        except JsonRefused:
            pass

    return work


def view(make: Callable[[], Any], pieces: list[str]) -> Work:
    def work() -> None:
        projection = make()
        for piece in pieces:
            for message in projection.feed(piece):
                dumps(message)
        for message in projection.close():
            dumps(message)
        projection.state(0)

    return work


def early(pieces: list[str], schema: dict[str, Any] = SCHEMA) -> Work:
    def work() -> None:
        check = EarlyCheck(admit(schema))
        for piece in pieces:
            check.feed(piece)
        check.close()

    return work


LONG = "x" * 200
TEXTS: list[tuple[str, int, Callable[[int], list[str]]]] = [
    ("a string without end, a character at a time", 50_000, lambda n: pieces_of('{"a":"' + "x" * n, 1)),
    ("a string without end, at once", 10_000_000, lambda n: ['{"a":"' + "x" * n]),
    ("a string of escapes, at once", 100_000, lambda n: ['{"a":"' + "\\n" * n]),
    ("a string of escapes, a character at a time", 20_000, lambda n: pieces_of('{"a":"' + "\\n" * n, 1)),
    ("a string of other letters, 3 at a time", 50_000, lambda n: pieces_of('{"a":"' + "é€😀" * (n // 3), 3)),
    ("a root string, which becomes prose", 50_000, lambda n: [*pieces_of('"' + "x" * n, 1), '" and more']),
    ("a name without end, a character at a time", 50_000, lambda n: pieces_of('{"' + "x" * n, 1)),
    ("a number without end, a character at a time", 30_000, lambda n: pieces_of("[1" + "2" * n, 1)),
    ("a number that is the whole, a character at a time", 1_500, lambda n: pieces_of("1" * n, 1)),
    ("many numbers, at once", 50_000, lambda n: ["[" + "1," * n + "1]"]),
    ("many other numbers, at once", 50_000, lambda n: ['["é",' + "1," * n + "1]"]),
    ("many empty objects, a character at a time", 10_000, lambda n: pieces_of("[" + "{}," * n + "1]", 1)),
    ("many members, at once", 20_000, lambda n: ["{" + ",".join(f'"p{k}":1' for k in range(n)) + "}"]),
    ("one member again and again", 20_000, lambda n: ["{" + '"a":1,' * n + '"a":1}']),
    ("one list again and again", 10_000, lambda n: ["{" + '"a":[1],' * n + '"a":1}']),
    ("nested as deep as may be, at once", 500, lambda n: ["[" + ("[" * 60 + "]" * 60 + ",") * n + "1]"]),
    ("a long name around many elements", 20_000, lambda n: ['{"' + "x" * n + '":[' + "1," * n + "1]}"]),
    ("a string that grows behind a long name", 20_000, lambda n: ['{"' + "x" * n + '":"', *pieces_of("x" * n, 4)]),
    ("white space, a character at a time", 20_000, lambda n: [" "] * n),
    ("prose like braces, a character at a time", 20_000, lambda n: pieces_of("a " + "{ " * n, 1)),
    ("prose like fences, a character at a time", 20_000, lambda n: pieces_of("a " + "```json " * (n // 8), 1)),
    ("prose like lists, at once", 50_000, lambda n: ["a " + "[ x " * n]),
    ("prose like fences, at once", 100_000, lambda n: ["a " + "```" * n]),
    ("a document, then prose, a character at a time", 20_000, lambda n: ["[1]", *pieces_of("x" * n, 1)]),
]
for name, size, text in TEXTS:
    case("push parser", name, size)(lambda n, text=text: push(text(n)))
    case("element view", name, size // 4)(lambda n, text=text: view(ElementView, text(n)))
    case("patch view", name, size // 4)(lambda n, text=text: view(PatchView, text(n)))
    case("caption view", name, size // 4)(lambda n, text=text: view(CaptionView, text(n)))
    case("early verdict", name, size // 4)(lambda n, text=text: early(text(n)))
for name, size, text in (
    ("a string that one option allows, a character at a time", 6_000, lambda n: pieces_of('{"kind":"' + "x" * n, 1)),
    ("elements that must differ", 5_000, lambda n: ['{"list":[' + ",".join(map(str, range(n))) + "]}"]),
    ("names that meet a pattern", 5_000, lambda n: ["{" + ",".join(f'"p{k}":1' for k in range(n)) + "}"]),
):
    case("early verdict", name, size)(lambda n, text=text: early(text(n)))

CUE = '{"start":1,"text":"x"}'
MARK = "[00:01] a"
for name, size, text in (
    ("blank lines of one space, at once", 20_000, lambda n: [MARK + " \n" * n]),
    ("blank lines of one space and a word, at once", 20_000, lambda n: [MARK + " \n" * n + "x"]),
    ("white space, at once", 50_000, lambda n: [MARK + " " * n]),
    ("line ends, at once", 50_000, lambda n: [MARK + "\n" * n]),
    ("white space, 256 at a time", 4_096, lambda n: [MARK, *pieces_of(" " * n, 256)]),
    ("white space, a character at a time", 1_000, lambda n: [MARK, *" " * n]),
    ("white space and words, a character at a time", 1_024, lambda n: [MARK, *(" " * 200 + "x" * 56) * (n // 256)]),
    ("white space and a word before each mark, at once", 100, lambda n: [(" " * 200 + "x" * 40 + MARK) * n]),
    ("prose, a character at a time", 10_000, lambda n: [MARK, *"x" * n]),
    ("digits, a character at a time", 5_000, lambda n: [MARK, *"1" * n]),
    ("marks, at once", 5_000, lambda n: [MARK * n]),
    ("half marks, at once", 20_000, lambda n: ["x [1:23" * n]),
    ("half marks, a character at a time", 1_000, lambda n: list("x [00:01 - 0" * n)),
    ("bullets, a character at a time", 2_000, lambda n: [MARK, *" -" * n]),
    ("ends of sentences, at once", 20_000, lambda n: [MARK + '."" ' * n]),
    ("cues, then one member again and again", 1_000, lambda n: ['{"s":[' + f"{CUE}," * n + "1]," + '"a":1,' * n + '"a":1}']),
    ("cues, then one list again and again", 1_000, lambda n: ['{"s":[' + f"{CUE}," * n + "1]," + '"a":[],' * n + '"a":1}']),
    ("cues taken back again and again", 1_000, lambda n: ["{" + f'"s":[{CUE}],' * n + '"a":1}']),
    ("a cue that grows, a character at a time", 20_000, lambda n: ['{"start":1,"text":"', *"x" * n, '"}']),
    ("a cue that grows beside a long name", 2_000, lambda n: [f'{{"start":1,"speaker":"{"s" * n * 10}","text":"', *"x" * n, '"}']),
    ("cues under a long name", 20_000, lambda n: ['{"' + "s" * n + '":[' + f"{CUE}," * (n // 20) + "1]}"]),
):  # fmt: skip
    case("caption view", name, size)(lambda n, text=text: view(CaptionView, text(n)))


def joined(pieces: list[str]) -> Work:
    projection = PatchView()
    ops = [op for piece in pieces for message in projection.feed(piece) for op in message["ops"]]
    return lambda: join_ops(ops)


def applied(pieces: list[str]) -> Work:
    projection = PatchView()
    ops = [op for piece in pieces for message in projection.feed(piece) for op in message["ops"]]

    def work() -> None:
        tree = None
        for op in ops:
            tree = apply_op(tree, op)

    return work


for name, size, text in (
    ("a string that grows, 4 characters at a time", 400_000, lambda n: pieces_of('{"a":"' + "x" * n, 4)),
    ("many elements", 10_000, lambda n: pieces_of("[" + '{"a":[]},' * n, 16)),
    ("nested as deep as may be", 200, lambda n: ["[" + ("[" * 60 + "]" * 60 + ",") * n]),
):
    case("patches joined", name, size)(lambda n, text=text: joined(text(n)))
    case("client: patches applied", name, size)(lambda n, text=text: applied(text(n)))

# -- whole texts

WANTED = ["/a", *(f"/a/{k}" for k in range(20))]
VERDICT = admit({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "string"}}}})
for name, size, text in (
    ("strings of escaped quotes without end", 20_000, lambda n: b'"' + b'\\"' * n),
    ("quotes", 100_000, lambda n: b'"' * n),
    ("open brackets", 100_000, lambda n: b"[" * n),
    ("prose like braces", 50_000, lambda n: b"a " + b"{ " * n),
    ("prose like lists", 50_000, lambda n: b"a " + b"[                " * n),
    ("prose like fences", 50_000, lambda n: b"a " + b"```json   " * n),
    ("a string that is none, then braces", 50_000, lambda n: b'"' + b'\\"' * n + b"\x01" + b'{"' * n),
    ("an object of strings without end", 50_000, lambda n: b'{"a":["' + b'","' * n),
    ("many members", 20_000, lambda n: b'{"a":[' + b'{"b":"c"},' * n + b"1]}"),
    ("one member again and again", 20_000, lambda n: b"{" + b'"a":[1],' * n + b'"a":[2]}'),
):
    case("nesting of a body", name, size)(on(nesting, text))
    case("document in a text", name, size)(on(find_document, text))
    case("end of a value", name, size)(on(lambda made: end_of_value(made, 0), text))
    case("verdict", name, size // 5)(on(lambda made: judge(made, VERDICT, "stop"), text))
for name, size, text in (
    ("long objects before the one wanted", 5_000, lambda n: b'{"a":[' + b'{"b":{"c":"d"}},' * n + b"1]}"),
    ("strings before the one wanted", 20_000, lambda n: b'{"a":[' + b'"",' * n + b"1]}"),
    ("flat objects of many strings", 20_000, lambda n: b'{"a":[{' + b'"x":"y",' * n + b'"z":[]},1]}'),
    ("one member again and again", 5_000, lambda n: b"{" + b'"a":[1],' * n + b'"a":[2]}'),
):
    case("spans", name, size)(on(lambda made: ends_of(made, 0, WANTED), text))

for name, size, text in (
    ("groups without end", 2_500, lambda n: "(?<" * (n // 3)),
    ("properties without end", 2_500, lambda n: "\\p{" * (n // 3)),
    ("properties in a class without end", 2_500, lambda n: "[" + "\\p{" * (n // 3)),
    ("classes without end", 5_000, lambda n: "[" * n),
    ("nested groups", 5_000, lambda n: "(" * (n // 2) + ")" * (n // 2)),
):
    case("cost of a pattern (10,000 characters at most)", name, size)(on(cost, text))


def subtitles(texts: list[str], formatted: bool = True) -> Work:
    cues = [
        {"id": f"c{n}", "state": "final", "start": float(n), "end": n + 1.0, "text": text}
        for n, text in enumerate(texts)
    ]

    def work() -> None:
        made = Subtitles.of(cues, formatted=formatted)
        made.vtt()
        made.srt()

    return work


for name, size, texts in (
    ("many cues", 1_000, lambda n: ["word " * 20] * n),
    ("one long cue", 20_000, lambda n: ["word " * n]),
    ("one long word", 50_000, lambda n: ["x" * n]),
    ("one long word of wide letters", 20_000, lambda n: ["字" * n]),
    ("one letter with many marks", 50_000, lambda n: ["x" * 40 + " a" + "\u0301" * n]),
    ("control characters", 200_000, lambda n: ["\x01" * n + "x"]),
    ("line ends", 100_000, lambda n: ["\n " * n + "x"]),
    ("full stops", 50_000, lambda n: ['."' * n]),
    ("arrows and tags", 50_000, lambda n: ["--><{\\" * n]),
):
    case("subtitles", name, size)(lambda n, texts=texts: subtitles(texts(n)))
case("subtitles", "cues that begin together", 5_000)(lambda n: lambda: Subtitles.of(
    {"id": f"c{k}", "state": "final", "start": 1.0, "end": 2.0, "text": "x"} for k in range(n)
))  # fmt: skip

# -- forms: the engine reads them with aiohttp

LIMIT = 1 << 16


class _Feeding(BaseProtocol):
    """A connection without a socket."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.transport = asyncio.Transport()


def form(pieces: Callable[[int], list[bytes]]) -> Callable[[int], Work]:
    def make(n: int) -> Work:
        made = pieces(n)

        async def read() -> None:
            stream = StreamReader(_Feeding(), LIMIT)

            async def feed() -> None:
                for piece in made:
                    stream.feed_data(piece)
                    await asyncio.sleep(0)
                stream.feed_eof()

            feeding = asyncio.create_task(feed())
            headers: Any = {"Content-Type": "multipart/form-data; boundary=b"}
            try:
                async for part in MultipartReader(headers, stream):
                    assert isinstance(part, BodyPartReader)
                    while await part.read_chunk(1 << 20):
                        pass
            except (ValueError, HttpProcessingError):
                pass
            await feeding

        return lambda: asyncio.run(read())

    return make


PART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
END = b"\r\n--b--\r\n"
for name, size, wire in (
    ("one file, 64 KiB at a time", 20_000_000, lambda n: pieces_of(PART + b"x" * n + END, 1 << 16)),
    ("one file, 16 bytes at a time", 100_000, lambda n: pieces_of(PART + b"x" * n + END, 16)),
    ("one file, a byte at a time", 5_000, lambda n: pieces_of(PART + b"x" * n + END, 1)),
    ("a file of line ends, 4 KiB at a time", 1_000_000, lambda n: pieces_of(PART + b"\r\n" * (n // 2) + END, 4096)),
    ("a file of what looks like boundaries", 1_000_000, lambda n: pieces_of(PART + b"\r\n--" * (n // 4) + END, 4096)),
    ("many small parts", 1_000, lambda n: pieces_of((PART + b"x\r\n") * n + END, 4096)),
    ("lines before the first boundary", 5_000, lambda n: pieces_of(b"x\r\n" * n + PART + END, 4096)),
    ("many headers", 5_000, lambda n: pieces_of(b"--b\r\n" + b"a: b\r\n" * n + b"\r\nx" + END, 4096)),
):
    case("forms (aiohttp)", name, size)(form(wire))


# -- the browser module

BROWSER = """
import { applyOp } from "%s";
const n = %d;
const rounds = [];
for (let round = 0; round < 3; round++) {
  const before = process.cpuUsage().user;
  %s
  rounds.push((process.cpuUsage().user - before) / 1e6);
}
console.log(JSON.stringify(Math.min(...rounds)));
"""
IN_BROWSER = {
    "a string that grows": (200_000, """
  let tree = applyOp(null, { op: "add", path: "", value: { a: "" } });
  for (let k = 0; k < n; k++) { tree = applyOp(tree, { op: "append", path: "/a", value: "word" }); }
  if (tree.a.charCodeAt(n) === 0) throw new Error();"""),
    "many messages at once": (50_000, """
  globalThis.location = { href: "http://localhost/" };
  let socket;
  globalThis.WebSocket = class { constructor() { socket = this; } close() {} };
  const { watch } = await import("%MODULE%");
  const messages = watch("s", { view: "raw" });
  const first = messages.next();
  socket.onmessage({ data: '{"type":"attached","mode":"snapshot","gen":1,"from":0,"to":0,"view":"raw"}' });
  for (let k = 0; k < n; k++) socket.onmessage({ data: `{"type":"event","n":${k},"at":0,"event":{}}` });
  await first;
  for (let k = 1; k < n; k++) await messages.next();"""),
}  # fmt: skip


def in_browser(name: str, n: int) -> float:
    module = Path(__file__).parent.parent / "service/web/static/fanlight.js"
    text = module.read_text()
    with_type = f"data:text/javascript,{encoded(text)}"
    script = BROWSER % (with_type, n, IN_BROWSER[name][1].replace("%MODULE%", with_type))
    done = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def encoded(text: str) -> str:
    from urllib.parse import quote

    return quote(text)


def timed(work: Work) -> float:
    best = float("inf")
    for _ in range(RUNS):
        gc.collect()
        gc.disable()  # its rounds come at sizes of their own
        before = time.process_time()
        work()
        best = min(best, time.process_time() - before)
        gc.enable()
        if best > 2.0:
            break
    return best


def rows(wanted: list[str]) -> Iterator[tuple[str, str, int, float, float]]:
    for parser, inputs in CASES.items():
        if wanted and not any(word in parser for word in wanted):
            continue
        for name, size, make in inputs:
            once, twice = timed(make(size)), timed(make(2 * size))
            if twice >= AT_ONCE_S:
                yield parser, name, size, once, twice
    if shutil.which("node") and (not wanted or "browser" in wanted):
        for name, (size, _) in IN_BROWSER.items():
            yield "browser module", name, size, in_browser(name, size), in_browser(name, 2 * size)


def main() -> None:
    print("| parser | input | n | ms at n | ms at 2n | ratio |")
    print("|---|---|---:|---:|---:|---:|")
    for parser, name, size, once, twice in rows(sys.argv[1:]):
        ratio = twice / once
        mark = " **" if ratio > WORSE else ""
        print(
            f"| {parser} | {name} | {size:,} | {once * 1e3:.2f} | {twice * 1e3:.2f} | {ratio:.2f}{mark} |", flush=True
        )


if __name__ == "__main__":
    main()
