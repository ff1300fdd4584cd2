"""What clients of other protocols ask: which video, and what prompt a conversation makes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.dialects.prompt import MAX_ANSWER_CHARS, Said, prompt_of
from protocol.dialects.video import MAX_MEDIA_BYTES, link_of, named_in, video_of
from protocol.errors import Refusal

LIMIT = 6000


@pytest.mark.parametrize(
    ("value", "video"),
    [
        ("https://a.example/b.mp4?c=d", {"type": "url", "url": "https://a.example/b.mp4?c=d"}),
        ("HTTP://a.example", {"type": "url", "url": "HTTP://a.example"}),
        ("asset:6a_b-c", {"type": "asset_id", "asset_id": "6a_b-c"}),
        ("data:video/mp4;base64,AAAA", {"type": "base64_string", "base64_string": "AAAA"}),
        ("data:video/mp4;codecs=avc1;base64,AAAA", {"type": "base64_string", "base64_string": "AAAA"}),
        ({"type": "asset_id", "asset_id": "x"}, {"type": "asset_id", "asset_id": "x"}),
    ],
)
def test_a_video_is_named_in_one_grammar(value, video):
    assert video_of(value) == video


@pytest.mark.parametrize(
    "value",
    ["", "a.mp4", "asset:", "asset:a b", "ftp://a.example/b.mp4", "https://", "https://a.example/b c.mp4",
     "data:image/png;base64,AAAA", "data:video/mp4;base64,*", "data:video/mp4,AAAA", {"url": "x"}, {}, None, 7, ["asset:x"]],
)  # fmt: skip
def test_what_names_no_video_is_refused_without_a_word_of_it(value):
    with pytest.raises(Refusal) as caught:
        video_of(value)
    assert caught.value.code == "video_invalid"
    assert "a.example" not in caught.value.message


def test_media_in_a_data_url_have_a_bound():
    with pytest.raises(Refusal, match="30 MB"):
        video_of("data:video/mp4;base64," + "A" * (MAX_MEDIA_BYTES * 4 // 3 + 8))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("see asset:abc, please", "asset:abc"),
        ("https://a.example/x.mp4 or (https://b.example/y.webm?z=1).", "https://b.example/y.webm?z=1"),
        ("https://a.example/x.MP4", "https://a.example/x.MP4"),
        ("https://a.example/page.html and my-asset:abc", None),
        ("[this](https://a.example/x.mp4), **bold**", "https://a.example/x.mp4"),
        ("<https://a.example/x.mp4>: what?", "https://a.example/x.mp4"),
        ("https://a.example/x.mp4/page", None),
        ("nothing", None),
    ],
)
def test_the_last_video_that_a_text_names_counts(text, named):
    assert named_in(text) == named


def test_only_a_video_with_an_address_has_a_link():
    assert link_of({"type": "url", "url": "https://a.example/b"}) == "https://a.example/b"
    assert link_of({"type": "asset_id", "asset_id": "x"}) is None
    assert link_of({"type": "url", "url": "javascript:x"}) is None


def test_a_first_question_is_the_prompt_unchanged():
    assert prompt_of([Said("user", " what? ")], LIMIT) == " what? "


def test_instructions_and_what_was_said_come_before_the_question():
    said = [Said("system", "Be short."), Said("user", "a?"), Said("assistant", "b."), Said("user", "c?")]
    assert prompt_of(said, LIMIT) == ("Instructions:\nBe short.\n\nConversation so far:\nUser: a?\nAssistant: b.\n\nc?")


def test_an_answer_that_is_told_again_is_cut_at_its_end():
    told = prompt_of([Said("assistant", "x" * 5000), Said("user", "c?")], LIMIT)
    assert told.count("x") == MAX_ANSWER_CHARS - 1


def test_a_question_that_alone_is_too_long_is_refused():
    with pytest.raises(Refusal, match="the question is longer"):
        prompt_of([Said("user", "x" * (LIMIT + 1))], LIMIT)
    with pytest.raises(Refusal, match="instructions are longer"):
        prompt_of([Said("system", "x" * LIMIT), Said("user", "x")], LIMIT)


def test_long_texts_and_lists_take_no_more_than_their_length():
    # The square of it would be minutes.
    assert named_in("https://" * 8192) is None
    assert named_in("https://a.mp4" * 5000 + "!") is not None
    said = [Said("user", "a")] * 30_000
    assert len(prompt_of([*said, Said("user", "b")], LIMIT)) <= LIMIT


@given(st.lists(st.builds(Said, st.sampled_from(["user", "assistant", "system"]), st.text(max_size=40)), max_size=12), st.integers(1, 300))  # fmt: skip
def test_a_prompt_ends_with_the_question_and_has_at_most_what_it_may(said, limit):
    question = Said("user", "why?")
    try:
        told = prompt_of([*said, question], limit)
    except Refusal as refusal:
        assert refusal.code == "prompt_too_long"
        return
    assert told.endswith("why?")
    assert len(told) <= limit
