"""LangChain's chat model for services that speak as OpenAI does. Arguments and words as in ai_sdk.mjs."""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

from langchain_openai import ChatOpenAI
from openai import APIError
from pydantic import BaseModel

base, happens = sys.argv[1:]
model = ChatOpenAI(base_url=base + "/openai/v1", api_key="none", model="fanlight", stream_usage=True)
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
        for chunk in model.stream(messages):
            usage = chunk.usage_metadata or usage
            finish = chunk.response_metadata.get("finish_reason") or finish
            text += str(chunk.content)
            if chunk.content and on_text() == "break":
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


SCENES: dict[str, Callable[[], str]] = {
    "success": lambda: ask([QUESTION])[2],
    "structured": lambda: repr(model.with_structured_output(Seen, method="json_schema").invoke([QUESTION])),
    "cut": lambda: ask([QUESTION], lambda: open_after(1))[2],
    "early": lambda: ask([QUESTION])[2],
    "novideo": lambda: ask([{"role": "user", "content": "what?"}])[2],
    "stop": lambda: ask([QUESTION], lambda: "break")[2],
    "tabs": tabs,
    "follow": follow,
    "usage": lambda: f"{ask([QUESTION])[1]['output_tokens']} out",
}
print(json.dumps(SCENES[happens]()))  # noqa: T201
