"""Talk about a video with LangChain: ``python ask.py https://…/video.mp4 "What happens?" "And then?"``."""

import os
import sys

from langchain_openai import ChatOpenAI
from openai import APIError
from pydantic import BaseModel, Field

model = ChatOpenAI(
    base_url=os.environ.get("FANLIGHT", "http://127.0.0.1:8080") + "/openai/v1",
    api_key=os.environ.get("FANLIGHT_KEY", "none"),  # the client wants one to start
    model="fanlight",
    stream_usage=True,
)


class Summary(BaseModel):
    """What a video is about."""

    title: str
    tags: list[str] = Field(description="at most five")


def main() -> None:
    video, *questions = sys.argv[1:]
    # LangChain hands a `video_url` part through as it is; its own `video` blocks it refuses.
    named = {"type": "video_url", "video_url": {"url": video}}
    messages = []
    try:
        for question in questions:
            parts = [{"type": "text", "text": question}]
            messages.append({"role": "user", "content": parts if messages else [named, *parts]})
            answer = ""
            for chunk in model.stream(messages):
                answer += chunk.content
                print(chunk.content, end="", flush=True)
            print()
            messages.append({"role": "assistant", "content": answer})
        in_form = model.with_structured_output(Summary, method="json_schema")
        print(in_form.invoke([{"role": "user", "content": [named, {"type": "text", "text": "Sum it up."}]}]))
    except APIError as error:
        sys.exit(f"\n{error.message} ({error.code})")


main()
