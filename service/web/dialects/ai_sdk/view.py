"""A run as a UI message stream: text, captions, elements and the verdict as they come, and how it ended."""

from typing import TYPE_CHECKING, Any

from protocol.dialects import ai_sdk
from protocol.dialects.ai_sdk import chunk
from protocol.wire.cursors import Cursor
from protocol.wire.endings import Ending, Status
from service.hub.derived import DerivedView
from service.hub.views import Outgoing
from service.web.dialects.common import sentence_of

if TYPE_CHECKING:
    from service.hub.streams import Stream

# Text in one chunk, so that a late reader is not told a whole film in one.
CHUNK_BYTES = 1 << 16


class UiView:
    """See `service.hub.views.View`; a position is an offset in the text.

    Args:
        parts: ``all``, ``transient`` or ``none``: how data parts are told.
        link: the video's address, where it has one.
    """

    def __init__(self, stream: "Stream", *, parts: str, link: str | None) -> None:
        self.run = stream.run
        self.name = f"ui/{parts}"
        self._transient = parts == "transient"
        self._link = link
        self._captions = self._derived(stream, "captions") if parts != "none" else None
        has_schema = parts != "none" and stream.run.schema is not None
        self._elements = self._derived(stream, "json") if has_schema else None
        self._opened: set[int] = set()  # generations of which readers were told text

    @staticmethod
    def _derived(stream: "Stream", name: str) -> DerivedView:
        view = stream.view(name)
        assert isinstance(view, DerivedView)
        return view

    @property
    def _part(self) -> str:
        return f"t{self.run.gen}"

    def head(self) -> int:
        return self.run.log.size

    def cursor(self, gen: int, position: int) -> Cursor:
        return Cursor(gen, position)

    def since(self, position: int) -> tuple[list[Outgoing], int]:
        log = self.run.log
        if position >= log.size:
            return [], position
        stop = log.boundary_before(min(log.size, position + CHUNK_BYTES))
        told = [chunk("text-start", id=self._part)] if position == 0 else []
        self._opened.add(self.run.gen)
        told.append(chunk("text-delta", id=self._part, delta=log.slice(position, stop)))
        told += self._data(position, stop)
        return [(one, None) for one in told], stop

    def _data(self, start: int, stop: int) -> list[bytes]:
        """The data parts of what lies behind ``start``, up to ``stop``."""
        told: list[bytes] = []
        for view, form in ((self._captions, ai_sdk.caption), (self._elements, ai_sdk.element)):
            if view is not None:
                told += [form(m, transient=self._transient) for m in view.told_behind(start) if m["at"] <= stop]
        violation = self.run.violation
        if self._elements is not None and violation is not None and start < self.run.violation_from <= stop:
            proved = {"valid": False, "provisional": True, "errors": [violation.members()]}
            told.append(ai_sdk.validation(proved, transient=self._transient))
        return told

    def reset(self) -> Outgoing | None:
        run = self.run
        shown = [gen for gen in self._opened if gen < run.gen]
        told = [
            *([chunk("text-end", id=f"t{max(shown)}")] if shown else []),  # one that was never begun is an error there
            chunk("data-reset", id="reset", data={"gen": run.gen, "reason": run.reset_reason}),
            chunk("message-metadata", messageMetadata={"fanlight": {"text": self._part}}),
        ]
        return ai_sdk.joined(told), None

    def end(self) -> Outgoing | None:
        ending = self.run.ending
        assert ending is not None
        return ai_sdk.joined([*self._ended(ending), ai_sdk.DONE]), None

    def _ended(self, ending: Ending) -> list[bytes]:
        closed = [chunk("text-end", id=self._part)] if self.run.log.size else []
        if ending.status in (Status.COMPLETED, Status.LENGTH):
            return [*self._last_data(), *closed, *self._sources(), *self._verdict(ending), *self._finish(ending)]
        if ending.code == "cancelled":
            metadata = {"fanlight": {"status": "cancelled"}}
            return [*closed, chunk("message-metadata", messageMetadata=metadata), chunk("abort")]
        code = ending.code or "internal"
        return [chunk("error", errorText=f"{sentence_of(ending)} ({code})")]

    def _last_data(self) -> list[bytes]:
        """What only the end of the text told; telling it twice changes nothing."""
        size = self.run.log.size
        return [one for one in self._data(size - 1, size) if b'"data-validation"' not in one] if size else []

    def _sources(self) -> list[bytes]:
        log = self.run.log
        return ai_sdk.sources(log.slice(0, log.size), self._link) if self._link else []

    def _verdict(self, ending: Ending) -> list[bytes]:
        if self._elements is None or ending.validation is None:
            return []
        return [ai_sdk.validation(ending.validation, transient=self._transient)]

    @staticmethod
    def _finish(ending: Ending) -> list[bytes]:
        usage: dict[str, Any] = ending.usage or {}
        told: dict[str, Any] = {
            "status": str(ending.status),
            "sha256": ending.sha256,
            "usage": {"inputTokens": usage.get("input_tokens"), "outputTokens": usage.get("output_tokens")},
        }
        if ending.code is not None:
            told["warning"] = ending.code
        reason = "stop" if ending.status is Status.COMPLETED else "length"
        return [chunk("finish-step"), chunk("finish", finishReason=reason, messageMetadata={"fanlight": told})]
