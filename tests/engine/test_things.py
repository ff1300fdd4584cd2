"""Questions for things on the shared clips, asked of a running engine; with the true weights only."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from tests.engine.conftest import RunningEngine, form, running_engine, shared_clip, true_things

pytestmark = pytest.mark.slow

FLAG = {"type": ["boolean", "null"]}
SCHEMA = {
    "type": "object",
    "properties": {"objects": {"type": "array", "items": {"type": "string"}}, "has_person": FLAG, "has_car": FLAG},
    "required": ["objects", "has_person", "has_car"],
}


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    with running_engine(tmp_path_factory.mktemp("seeing"), "--things", str(true_things())) as engine:
        yield engine


@pytest.fixture(scope="module")
def told(seeing: RunningEngine) -> Any:
    """Return what is told of a clip, for a prompt or by a schema."""
    assets = cache(lambda name: seeing.upload(shared_clip(name))["_id"])

    def ask(name: str, prompt: str, **more: Any) -> str:
        body = {"video_id": assets(name), "prompt": prompt, "stream": False, **more}
        status, answer = seeing.call("POST", "/analyze", body)
        assert (status, answer["examinations"]["things"]["outcome"]) == (200, "made")
        return str(answer["data"])

    return ask


@pytest.mark.parametrize(
    ("name", "prompt", "last"),
    [
        ("reel.mp4", "When does a person appear?", "[00:15] Probably people, 3 of them at once, until 00:20."),
        ("reel.mp4", "Summarize", "[00:15] Probably people, 3 of them at once, until 00:20."),
        ("bunny.mp4", "Which animals are there?", "[00:16] Probably a bird, until 00:20."),
        ("webb.mp4", "How many people?", "[00:06] Probably a person, until 00:08."),
        # There is one, from above: it is missed, and not denied.
        ("reel.mp4", "Is there a car?", "Nothing was taken for a car: it does not follow that there is none."),
    ],
)
def test_a_question_for_things_is_answered(told: Any, name: str, prompt: str, last: str) -> None:
    assert told(name, prompt).rstrip().splitlines()[-1] == last


@pytest.mark.parametrize(
    ("name", "objects", "person"),
    [("reel.mp4", ["clock", "person"], True), ("bunny.mp4", ["bird"], None), ("flower.mp4", [], None)],
)
def test_a_schema_is_told_what_was_seen_and_nothing_of_the_rest(
    told: Any, name: str, objects: list[str], person: bool | None
) -> None:
    value = json.loads(told(name, "x", response_format={"type": "json_schema", "json_schema": SCHEMA}))
    assert value == {"objects": objects, "has_person": person, "has_car": None}


def test_a_search_finds_things_by_what_they_are(seeing: RunningEngine) -> None:
    models = [{"model_name": "marengo3.0", "model_options": ["visual", "audio"]}]
    index = seeing.call("POST", "/indexes", {"index_name": "things", "models": models})[1]["_id"]
    videos = {}
    for name in ("reel.mp4", "bunny.mp4", "webb.mp4"):
        fields = {"index_id": index}
        task = seeing.call("POST", "/tasks", *_uploaded(fields, name))[1]
        videos[seeing.over(f"/tasks/{task['_id']}")["video_id"]] = name
    found = {}
    for words in ("bird", "people", "animal", "dog"):
        fields = {"index_id": index, "query_text": words, "search_options": "visual"}
        hits = seeing.call("POST", "/search", *form(fields))[1]["data"]
        found[words] = [(videos[hit["video_id"]], round(hit["start"])) for hit in hits]
    assert found == {
        "bird": [("bunny.mp4", 16)],
        "people": [("reel.mp4", 15), ("webb.mp4", 6)],
        "animal": [("bunny.mp4", 16)],
        "dog": [],
    }


def _uploaded(fields: dict[str, str], name: str) -> tuple[bytes, dict[str, str]]:
    body, headers = form(fields, (name, shared_clip(name).read_bytes()))
    return body.replace(b'name="file"', b'name="video_file"'), headers
