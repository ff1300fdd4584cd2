"""Whatever a body holds, it is understood or refused; nothing else comes of it."""

from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from protocol.dialects import ai_sdk, openai
from protocol.dialects.prompt import prompt_of
from protocol.dialects.video import video_of
from protocol.errors import Refusal

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8))
WORDS = st.sampled_from(
    ["text", "file", "video_url", "input_video", "user", "assistant", "system", "tool", "video/mp4", "asset:x", "https://a/b.mp4",
     "data:video/mp4;base64,QUFB", "data:,", "step-start", "data-x", "json_schema", "### Task:<chat_history>"]
)  # fmt: skip
NAMES = st.sampled_from(
    ["id", "role", "content", "parts", "type", "text", "url", "mediaType", "file", "file_id", "file_data", "video_url", "video",
     "input_video", "data", "format", "metadata", "asset_id", "video_id", "model", "n", "max_tokens", "temperature", "tool_choice",
     "stream_options", "include_usage", "response_format", "system", "trigger", "message"]
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
PARTS = st.lists(
    st.fixed_dictionaries({"type": WORDS}, optional={"text": WORDS, "url": WORDS, "mediaType": WORDS, "file": ANYTHING, "video_url": ANYTHING, "input_video": ANYTHING}),
    max_size=3,
)  # fmt: skip
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": WORDS}, optional={"content": WORDS | PARTS, "parts": PARTS, "id": WORDS}), max_size=4
)
BODIES = st.builds(lambda body, messages: {**body, "messages": messages}, st.dictionaries(NAMES, ANYTHING, max_size=4), MESSAGES | ANYTHING)  # fmt: skip


@given(BODIES)
def test_openais_bodies_are_understood_or_refused(body: dict[str, Any]):
    with suppress(Refusal):
        asked = openai.asked(openai.completion(body))
        prompt_of(asked.said, 6000)
        if asked.video is not None:
            video_of(asked.video)


@given(BODIES)
def test_the_ai_sdks_bodies_are_understood_or_refused(body: dict[str, Any]):
    with suppress(Refusal):
        chat = ai_sdk.chat(ai_sdk.posted(body))
        prompt_of(chat.said, 6000)
        if chat.video is not None:
            video_of(chat.video)
