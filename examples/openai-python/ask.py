"""Ask about a video with OpenAI's client: ``python ask.py https://…/video.mp4 "What happens?"``."""

import os
import sys

from openai import APIError, OpenAI
from pydantic import BaseModel

client = OpenAI(
    base_url=os.environ.get("FANLIGHT", "http://127.0.0.1:8080") + "/openai/v1",
    api_key=os.environ.get("FANLIGHT_KEY", "none"),  # the client wants one to start
)
video, question = sys.argv[1:]


class Scene(BaseModel):
    start: float
    end: float
    text: str


class Scenes(BaseModel):
    scenes: list[Scene]


def main() -> None:
    # A link or `asset:ID` in the member `video`; a `video_url` part of the message does as well.
    asked = {"messages": [{"role": "user", "content": question}], "extra_body": {"video": video}}
    try:
        stream = client.chat.completions.create(model="fanlight", stream=True, **asked)
        for chunk in stream:
            for choice in chunk.choices:
                print(choice.delta.content or "", end="", flush=True)
        print()
        # In a form: what comes is judged by the schema, and read into it.
        answer = client.chat.completions.parse(model="fanlight", response_format=Scenes, **asked)
        for scene in answer.choices[0].message.parsed.scenes:
            print(f"{scene.start:7.1f} to {scene.end:7.1f}  {scene.text}")
    except APIError as error:
        # Also in the middle of an answer: what was printed is then not all there is.
        sys.exit(f"\n{error.message} ({error.code})")


main()
