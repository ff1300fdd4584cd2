"""OpenAI's own client for Python. Arguments and words as in ai_sdk.mjs."""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

from openai import APIError, OpenAI
from pydantic import BaseModel

base, happens = sys.argv[1:]
client = OpenAI(base_url=base + "/openai/v1", api_key="none")
VIDEO = {"type": "video_url", "video_url": {"url": "https://a.example/b.mp4"}}
QUESTION: Any = {"role": "user", "content": [VIDEO, {"type": "text", "text": "what?"}]}
texts = count(1)


class Seen(BaseModel):
    kind: str
    n: int


def open_after(texts_before: int) -> None:
    if next(texts) == texts_before:
        print("open", flush=True)  # noqa: T201


def ask(messages: list[Any], on_text: Callable[[], Any] = lambda: None) -> tuple[str, Any, str]:
    """The text, the usage, and what was seen."""
    text, finish, usage, error = "", None, None, None
    try:
        options: Any = {"include_usage": True}
        with client.chat.completions.create(
            model="fanlight", messages=messages, stream=True, stream_options=options
        ) as answer:
            for chunk in answer:
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    finish = choice.finish_reason or finish
                    text += choice.delta.content or ""
                if text and on_text() == "break":
                    break
    except APIError as exc:
        error = f"{type(exc).__name__} {exc.code}"
    return text, usage, ", ".join(filter(None, (finish, json.dumps(text) if text else None, error)))


def tabs() -> str:
    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask, [QUESTION], lambda: open_after(2)) for _ in range(2)]
        return "; ".join(one.result()[2] for one in asking)


def follow() -> str:
    text, _, _ = ask([QUESTION])
    return ask([QUESTION, {"role": "assistant", "content": text}, {"role": "user", "content": "why?"}])[2]


def structured() -> str:
    answer = client.chat.completions.parse(model="fanlight", messages=[QUESTION], response_format=Seen)
    return repr(answer.choices[0].message.parsed)


SCENES: dict[str, Callable[[], str]] = {
    "success": lambda: ask([QUESTION])[2],
    "structured": structured,
    "cut": lambda: ask([QUESTION], lambda: open_after(1))[2],
    "early": lambda: ask([QUESTION])[2],
    "novideo": lambda: ask([{"role": "user", "content": "what?"}])[2],
    "stop": lambda: ask([QUESTION], lambda: "break")[2],
    "tabs": tabs,
    "follow": follow,
    "usage": lambda: f"{ask([QUESTION])[1].completion_tokens} out",
}
print(json.dumps(SCENES[happens]()))  # noqa: T201
