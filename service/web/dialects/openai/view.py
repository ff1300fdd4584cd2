"""A run as chat completion chunks: text, one finish, and an error line where it did not end well."""

from typing import TYPE_CHECKING, Any

from protocol.dialects import openai
from protocol.dialects.openai import Chunks
from protocol.wire.cursors import Cursor
from protocol.wire.endings import Ending, Status
from protocol.wire.frames import SseFraming
from service.hub.views import Outgoing
from service.web.dialects.common import sentence_of

if TYPE_CHECKING:
    from service.hub.run import Run

CHUNK_BYTES = 1 << 16


def said_of(stream: str, ending: Ending) -> dict[str, Any]:
    """What is told of a stream beside the answer."""
    told: dict[str, Any] = {"stream": stream, "status": str(ending.status), "sha256": ending.sha256}
    return told | ({"validation": ending.validation} if ending.validation is not None else {})


class OpenAiView:
    """See `service.hub.views.View`; a position is an offset in the text. What went wrong are `last_words`."""

    def __init__(self, run: "Run", chunks: Chunks) -> None:
        self.run = run
        self._chunks = chunks
        self._gen = run.gen  # whoever was told another text is told an error
        self.name = f"openai/{run.gen}/{chunks.usage}/{chunks.model}"

    def head(self) -> int:
        return self.run.log.size

    def cursor(self, gen: int, position: int) -> Cursor:
        return Cursor(gen, position)

    def since(self, position: int) -> tuple[list[Outgoing], int]:
        log = self.run.log
        if position >= log.size:
            return [], position
        stop = log.boundary_before(min(log.size, position + CHUNK_BYTES))
        return [(self._chunks.chunk({"content": log.slice(position, stop)}), None)], stop

    def reset(self) -> Outgoing | None:
        return None  # what was told is not the answer any more

    def end(self) -> Outgoing | None:
        ending = self.run.ending
        assert ending is not None
        if ending.status not in (Status.COMPLETED, Status.LENGTH):
            return None
        reason = "stop" if ending.status is Status.COMPLETED else "length"
        told = [self._chunks.chunk({}, reason, fanlight=said_of(self.run.id, ending))]
        if self._chunks.usage:
            told.append(self._chunks.last(ending.usage))
        return b"\n\ndata: ".join([*told, b"[DONE]"]), None

    def last_words(self) -> bytes:
        """The error behind which the answer breaks off."""
        ending = self.run.ending
        if self.run.gen != self._gen or ending is None:
            return openai.error("The text begins again: ask once more.", "server_error", "restarted")
        code = ending.code or "internal"
        return openai.error(sentence_of(ending), "server_error", code)


class ChunkFraming(SseFraming):
    """Server-Sent Events whose silence is an empty delta: a clock of LangChain's does not see comments."""

    def __init__(self, chunked: bool, chunks: Chunks) -> None:
        self.beat = b"data: %b\n\n" % chunks.chunk({})
        super().__init__(chunked)
        self.name = f"{self.name}/{chunks.usage}/{chunks.model}"
