"""Media in base64, up to what each call takes."""

import base64

import pytest

from engine.errors import ApiError
from engine.work.intake import MAX_BASE64_BYTES, MAX_EMBED_BASE64_BYTES, decoded


def test_base64_is_taken_with_and_without_a_head() -> None:
    text = base64.b64encode(b"media").decode()
    assert decoded(text) == decoded(f"data:video/mp4;base64,{text}") == b"media"


def test_an_embedding_takes_more_base64_than_an_analysis() -> None:
    text = base64.b64encode(bytes(MAX_EMBED_BASE64_BYTES)).decode()
    assert len(decoded(text, MAX_EMBED_BASE64_BYTES)) == 36_000_000
    with pytest.raises(ApiError, match="30 MB") as caught:
        decoded(text)
    assert caught.value.code == "video_filesize_too_large"
    assert len(decoded(base64.b64encode(bytes(MAX_BASE64_BYTES)).decode())) == 30_000_000


def test_one_byte_too_many_is_refused() -> None:
    text = base64.b64encode(bytes(MAX_EMBED_BASE64_BYTES + 1)).decode()
    with pytest.raises(ApiError, match="36 MB"):
        decoded(text, MAX_EMBED_BASE64_BYTES)


@pytest.mark.parametrize("text", ["no base64!", "é", "YQ="])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ApiError):
        decoded(text)
