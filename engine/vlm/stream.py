"""What a model's server streams: OpenAI's chunks as Server-Sent Events, with the peculiarities of each server.

Comments, empty deltas, role-only first chunks and usage chunks without choices are ordinary. Reasoning is counted and
dropped. An ``error`` object inside a 200 is an error; an end without a finish reason is none, whether or not ``[DONE]``
came, and a cut is a cut.
"""

import json
from dataclasses import dataclass, field
from typing import Any

MAX_LINE_BYTES = 1 << 20
MAX_DATA_LINES = 100  # of one event; these servers send one
# Words for an end that is one; any other is a refusal, a filter or a fault.
ENDS = {"stop": "stop", "eos": "stop", "end_turn": "stop", "length": "length"}


class ModelBroke(Exception):
    """The stream is no answer; the message says why, in words of our own."""


@dataclass(slots=True)
class ModelStream:
    """Bytes in, text out.

    Attributes:
        finish_reason: ``stop`` or ``length``, None until it came.
        done: nothing more is to come, whatever is still sent.
        usage: its own figures, None where it gave none.
        reasoned: characters of reasoning that were dropped.
    """

    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    reasoned: int = 0
    _rest: bytes = b""
    _data: list[bytes] = field(default_factory=list)
    done: bool = False
    _told: bool = False  # any text

    def feed(self, data: bytes) -> str:
        """Take bytes; return the text that they bring.

        Raises:
            ModelBroke: they are no such stream, or it tells an error.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise ModelBroke("the model's server sent a line that is too long")
        return "".join(self._line(line.rstrip(b"\r")) for line in lines)

    def finish(self) -> str:
        """The body is over; return what was left.

        Raises:
            ModelBroke: it is over without an end.
        """
        text = self._line(self._rest.rstrip(b"\r")) + self._line(b"")
        if self.finish_reason is None:
            raise ModelBroke("the model's server stopped before the answer's end")
        if not self._told:
            raise ModelBroke("the model's server gave no answer")
        return text

    def _line(self, line: bytes) -> str:
        if line.startswith(b"data:"):
            self._data.append(line[5:].strip())
            if sum(map(len, self._data)) > MAX_LINE_BYTES or len(self._data) > MAX_DATA_LINES:
                raise ModelBroke("the model's server sent an event that is too long")
            return ""
        if line or not self._data:
            return ""  # a comment, or a member that says nothing here
        whole = b"\n".join(self._data)
        self._data.clear()
        if self.done or not whole:
            return ""
        if whole == b"[DONE]":
            self.done = True
            return ""
        try:
            chunk = json.loads(whole)
        except (ValueError, RecursionError) as exc:
            raise ModelBroke("the model's server sent something that is no chunk") from exc
        text = self._chunk(chunk)
        self._told = self._told or bool(text)
        return text

    def _chunk(self, chunk: Any) -> str:
        if not isinstance(chunk, dict):
            raise ModelBroke("the model's server sent something that is no chunk")
        if chunk.get("error"):
            raise ModelBroke("the model's server told an error in its answer")
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.usage = {name: value for name, value in usage.items() if _is_count(value)} or self.usage
        choices = chunk.get("choices")
        first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        if isinstance(reason := first.get("finish_reason"), str):
            if reason not in ENDS:
                raise ModelBroke("the model's server ended the answer for another reason than its end")
            self.finish_reason = ENDS[reason]
        delta = first.get("delta")
        if not isinstance(delta, dict):
            return ""
        for name in ("reasoning", "reasoning_content"):
            if isinstance(delta.get(name), str):
                self.reasoned += len(delta[name])
        text = delta.get("content")
        return text if isinstance(text, str) else ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53
