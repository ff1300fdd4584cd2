"""What model servers stream, each peculiarity a case; nothing that is no whole answer looks like one."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.vlm.stream import MAX_LINE_BYTES, ModelBroke, ModelStream


def chunk(content: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    delta = {} if content is None else {"content": content}
    return data({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})


def data(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 900, "completion_tokens": 7, "total_tokens": 907}
WHOLE = {
    "vllm: role first, usage in a chunk without choices": [
        data({"choices": [{"delta": {"role": "assistant", "content": ""}}]}),
        chunk("A do"), chunk("g."), chunk("", "stop"), data({"choices": [], "usage": USAGE}), DONE,
    ],
    "ollama: the finish with the last text": [chunk("A "), chunk("dog.", "stop", usage=USAGE), DONE],
    "llama.cpp: null content, timings": [
        data({"choices": [{"delta": {"content": None, "role": "assistant"}, "finish_reason": None}]}),
        chunk("A dog."), data({"choices": [{"delta": {}, "finish_reason": "stop"}], "timings": {}, "usage": USAGE}), DONE,
    ],
    "sglang: reasoning goes before": [
        data({"choices": [{"delta": {"reasoning_content": "Hm, a dog?"}}]}), chunk("A dog."), chunk(None, "stop"),
        data({"choices": [], "usage": USAGE}), DONE,
    ],
    "a hosted one: comments, carriage returns": [
        b": PROCESSING\r\n\r\n", chunk("A dog.").replace(b"\n", b"\r\n"), b"event: x\r\nid: 1\r\n",
        chunk("", "stop", usage=USAGE), DONE,
    ],
    "no [DONE]": [chunk("A dog.", "stop", usage=USAGE)],
    "no blank line at the end": [chunk("A dog.", "stop", usage=USAGE).rstrip(b"\n")],
}  # fmt: skip


def read(pieces: list[bytes]) -> tuple[str, ModelStream]:
    stream = ModelStream()
    return "".join(stream.feed(piece) for piece in pieces) + stream.finish(), stream


@pytest.mark.parametrize("name", WHOLE)
def test_an_answer_is_read_however_its_server_says_it_and_its_network_cuts_it(name: str) -> None:
    whole = b"".join(WHOLE[name])
    for pieces in (WHOLE[name], [whole[n : n + 1] for n in range(len(whole))]):
        text, stream = read(pieces)
        assert (text, stream.finish_reason, stream.usage) == ("A dog.", "stop", USAGE)
    assert bool(stream.reasoned) is ("reasoning" in name)


def test_usage_that_is_not_told_is_none() -> None:
    assert read([chunk("a", "length")])[1].usage is None
    assert read([chunk("a", "stop", usage={"completion_tokens": "many", "prompt_tokens": -1})])[1].usage is None


@pytest.mark.parametrize("pieces", [
    [], [chunk("A do")], [chunk("A do"), DONE], [chunk("A do"), data({"error": {"message": "out of memory"}})],
    [chunk("A do"), data(["chunk"])], [chunk("A do"), b"data: <html>\n\n"], [b"data: " + b"x" * (MAX_LINE_BYTES + 1)],
    [b"<html>502</html>"], [chunk("half an ans"), chunk("", "content_filter"), DONE], [chunk("a"), chunk("", "error")],
    [chunk("", "stop"), DONE], [b"data: {}\n" * 101], [chunk("a"), b"data: " + b"[" * 200_000 + b"\n\n"],
])  # fmt: skip
def test_what_is_no_whole_answer_is_none(pieces: list[bytes]) -> None:
    with pytest.raises(ModelBroke):
        read(pieces)


@given(st.lists(st.binary(max_size=60) | st.sampled_from([chunk("a"), DONE, chunk("", "stop")]), max_size=8))
def test_no_bytes_raise_anything_else(pieces: list[bytes]) -> None:
    with suppress(ModelBroke):
        read(pieces)
