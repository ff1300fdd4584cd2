"""Whether each chunk and object passes the official client's own models. Arguments: files."""

import json
import sys
from pathlib import Path

from openai.types.chat import ChatCompletion, ChatCompletionChunk

chunks = 0
for path in sys.argv[1:]:
    _, _, body = Path(path).read_text().partition("\n\n")
    for line in body.splitlines():
        told = line.removeprefix("data: ")
        if told.startswith("{") and not told.startswith('{"error"'):
            model = ChatCompletionChunk if line.startswith("data: ") else ChatCompletion
            model.model_validate_json(told)
            chunks += 1
print(json.dumps({"chunks": chunks, "refused": []}))  # noqa: T201
