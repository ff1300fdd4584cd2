"""A conversation as one prompt: instructions, what was said so far, and the question, which is never cut."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from protocol.errors import Refusal

# An answer that is told again is cut at its end beyond this.
MAX_ANSWER_CHARS = 1500


@dataclass(frozen=True, slots=True)
class Said:
    """One turn of a conversation, as text."""

    role: Literal["system", "user", "assistant"]
    text: str


def prompt_of(said: Sequence[Said], max_chars: int) -> str:
    """One prompt out of a conversation whose last turn is the question.

    Turns go, oldest first, until it all has at most ``max_chars`` characters.

    Raises:
        Refusal: ``prompt_too_long``, where the question and the instructions alone are.
    """
    question = said[-1].text
    instructions = "\n".join(turn.text for turn in said if turn.role == "system" and turn.text)
    head = f"Instructions:\n{instructions}\n\n" if instructions else ""
    if len(head) + len(question) > max_chars:
        what = "the question is" if len(question) > max_chars else "the question and the instructions are"
        raise Refusal("prompt_too_long", f"{what} longer than {max_chars} characters")
    lines = [_line(turn) for turn in said[:-1] if turn.role != "system" and turn.text]
    lines = _newest(lines, max_chars - len(head) - len(question) - len(_framed([""])))
    return head + (_framed(lines) if lines else "") + question


def _newest(lines: list[str], room: int) -> list[str]:
    """The last lines that fit, one line end between each two."""
    first, taken = len(lines), -1
    while first and taken + 1 + len(lines[first - 1]) <= room:
        first -= 1
        taken += 1 + len(lines[first])
    return lines[first:]


def _line(turn: Said) -> str:
    if turn.role == "user":
        return f"User: {turn.text}"
    cut = turn.text if len(turn.text) <= MAX_ANSWER_CHARS else turn.text[: MAX_ANSWER_CHARS - 1] + "…"
    return f"Assistant: {cut}"


def _framed(lines: Sequence[str]) -> str:
    return "Conversation so far:\n" + "\n".join(lines) + "\n\n"
