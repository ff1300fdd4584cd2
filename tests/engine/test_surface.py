"""The engine against the API's description, parameter by parameter and member by member.

Nothing here is listed twice: what a parameter takes, which shape an error has, and which
members an answer has is read in the description, ``surface.json`` beside this file.
"""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.engine.conftest import RunningEngine, form, running_engine, true_weights
from tests.engine.test_sdk import png

UNKNOWN = "0" * 24
METHODS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "surface.json").read_text())["methods"]
MARENGO = "marengo3.0"

# Members that an answer here lacks, and why.
ABSENT = {
    "expires_at": "no index expires here",
    "hls": "only where enable_video_stream asked for it, and not for its first moment",
    "video_url": "of a stream: once it is complete",
    "thumbnail_urls": "of a stream: once it is complete",
    "embedding": "only where embedding_option asks for it",
    "transcription": "in search only of what was said",
    "thumbnail_url": "only with the index's addon",
    "user_metadata": "in search only where include_user_metadata asks for it",
    "id": "of a hit: only in groups", "clips": "of a hit: only in groups",
    "total_inner_matches": "only in groups", "next_page_token": "only where there is one",
    "prev_page_token": "only where there is one",
    "error": "only of what failed", "error_message": "only of what failed", "result": "only when ready",
    "completed_at": "only at the end", "webhooks": "there are none here", "last_error": "there are none here",
    "uploaded_at": "of a chunk that has arrived", "updated_at": "of a chunk that has arrived",
    "url": "once the upload is complete", "input_url": "of media by URL", "input_filename": "of media by file",
    "input_tokens": "not counted", "clip_length": "of fixed stretches", "image_embedding": "of images",
    "audio_embedding": "of sound", "description": "where one was given", "metadata": "where it was given",
    "entity_name": "where it was given",
}  # fmt: skip

# What is told of media when it was measured.
UNFINISHED = ("validating", "pending", "queued", "indexing", "failed")
MEASURED = ("system_metadata", "indexed_at")


def named(method: dict[str, Any]) -> str:
    return str(method["method"])


def nests(method: dict[str, Any]) -> bool:
    return any(isinstance(error["body"], dict) and "error" in error["body"] for error in method["errors"])


def refusal(method: dict[str, Any], status: int, body: Any) -> str:
    """Return the code of an error; its shape must be the one that is described."""
    assert 400 <= status < 500, (status, body)
    inner = body["error"] if nests(method) else body
    assert set(inner) <= {"code", "message", "docs_url", "details"}, body
    assert inner["message"]
    return str(inner["code"])


# -- a world in which every method can be called ---------------------------------


def new(engine: RunningEngine, path: str, body: Any, headers: dict[str, str] | None = None) -> dict[str, Any]:
    status, told = engine.call("POST", path, body, headers)
    assert status < 300, told
    return dict(told)


def world(engine: RunningEngine, clip: Path) -> dict[str, str]:
    """Make one of everything; return the ids by the names that paths use, and some more."""
    asset = engine.upload(clip)["_id"]
    image = new(engine, "/assets", *form({"method": "direct"}, ("p.png", png(3.0))))["_id"]
    for ident in (asset, image):
        engine.over(f"/assets/{ident}")
    models = [{"model_name": name} for name in (MARENGO, "pegasus1.2")]
    index = new(engine, "/indexes", {"index_name": "surface", "models": models, "addons": ["thumbnail"]})["_id"]
    item = new(engine, f"/indexes/{index}/indexed-assets", {"asset_id": asset})["_id"]
    engine.over(f"/indexes/{index}/indexed-assets/{item}")
    upload = new(engine, "/assets/multipart-uploads", {"filename": "a.mp4", "type": "video", "total_size": 9})
    cast = new(engine, "/entity-collections", {"name": "surface", "description": "all"})["_id"]
    one = {"name": "one", "asset_ids": [image], "description": "all", "metadata": {"a": 1}}
    entity = new(engine, f"/entity-collections/{cast}/entities", one)["_id"]
    return {
        "asset_id": asset, "image": image, "index_id": index, "indexed_asset_id": item, "video_id": item,
        "upload_id": upload["upload_id"], "entity_collection_id": cast, "entity_id": entity,
    }  # fmt: skip


@pytest.fixture(scope="module")
def ids(engine: RunningEngine, sample_clip: Path) -> dict[str, str]:
    return world(engine, sample_clip)


def good_body(method: str, ids: dict[str, str]) -> dict[str, Any]:
    """Return a body that is taken, as far as the method needs one."""
    video = {"type": "asset_id", "asset_id": ids["asset_id"]}
    media = {"media_source": {"asset_id": ids["asset_id"]}}
    bodies: dict[str, dict[str, Any]] = {
        "analyze": {"prompt": "sound", "video": video, "stream": False},
        "analyze_stream": {"prompt": "sound", "video": video, "stream": True},
        "analyze_async.tasks.create": {"prompt": "sound", "video": video},
        "tasks.create": {"index_id": ids["index_id"], "video_url": "http://127.0.0.1:9/x.mp4"},
        "indexes.create": {"index_name": "another", "models": [{"model_name": MARENGO, "model_options": ["visual"]}]},
        "indexes.update": {"index_name": "surface"},
        "assets.create": {"method": "url", "url": "http://127.0.0.1:9/x.mp4"},
        "multipart_upload.create": {"filename": "a.mp4", "type": "video", "total_size": 9},
        "multipart_upload.get_additional_presigned_urls": {"start": 1, "count": 1},
        "entity_collections.create": {"name": "more", "description": "of it"},
        "entity_collections.update": {"description": "all"},
        "embed.create": {"model_name": MARENGO, "text": "a ball"},
        "search.create": {
            "index_id": ids["index_id"],
            "search_options": "visual",
            "query_text": "cut",
            "page_limit": 1,
        },
        "embed.tasks.create": {"model_name": MARENGO, "video_url": "http://127.0.0.1:9/x.mp4"},
        "embed.v_2.create": {"input_type": "video", "model_name": MARENGO, "video": media},
        "embed.v_2.tasks.create": {"input_type": "video", "model_name": MARENGO, "video": media},
        "entity_collections.entities.create": {"name": "new", "asset_ids": [ids["image"]], "metadata": {"a": 1}},
        "entity_collections.entities.create_bulk": {
            "entities": [{"name": "b", "asset_ids": [ids["image"]]}, {"name": "c", "asset_ids": [UNKNOWN]}]
        },
        "entity_collections.entities.update": {"metadata": {"b": 2}},
        "entity_collections.entities.create_assets": {"asset_ids": [ids["image"]]},
        "indexes.indexed_assets.create": {"asset_id": ids["asset_id"]},
        "indexes.indexed_assets.update": {"user_metadata": {"a": 1}},
        "indexes.videos.update": {"user_metadata": {"a": 1}},
    }
    return bodies.get(method, {})


def filled(method: dict[str, Any], ids: dict[str, str]) -> str:
    path = str(method["path"])
    for parameter in method["path_params"]:
        path = path.replace(f"{{{parameter['name']}}}", ids.get(parameter["name"], UNKNOWN))
    return path


def ask(engine: RunningEngine, method: dict[str, Any], path: str, body: dict[str, Any]) -> tuple[int, Any]:
    kind = method["body"]["kind"]
    if kind == "multipart":
        return engine.call(method["verb"], path, *form({name: str(value) for name, value in body.items()}))
    return engine.call(method["verb"], path, body if kind == "json" else None)


# -- bad values, made of what is described -----------------------------------------


def bad_texts(parameter: dict[str, Any]) -> list[str]:
    """Return values of a query parameter, or of a form's field, that it does not take."""
    kind = str(parameter["type"])
    bad: list[str] = []
    if "allowed" in parameter:
        bad.append("nonsense")
    if kind.startswith("integer") or kind.startswith("number"):
        bad += ["x", "nan"]
    if kind.startswith("integer") and "min" in parameter:
        bad += [str(parameter["min"] - 1), "1.5", "1" * 30]
    if isinstance(parameter.get("max"), int):
        bad.append(str(parameter["max"] + 1))
    if kind.startswith("boolean"):
        bad.append("maybe")
    if "match" in parameter:
        bad.append("yesterday")
    return bad


def bad_values(field: dict[str, Any]) -> list[Any]:
    """Return values of a JSON member that it does not take."""
    kind = field["type"]
    if isinstance(kind, list):
        # In bulk, each entity is judged by itself.
        return [
            "x",
            {},
            5,
            *([[]] if field["required"] else []),
            *([] if field["name"] == "entities" else [[[]], [{}]]),
        ]
    if isinstance(kind, dict) or str(kind).startswith("map"):
        return ["x", 5, [], *([{"type": "nonsense"}] if isinstance(kind, dict) else [{"a": [1]}])]
    bad: list[Any] = [[], {}]
    if kind.startswith("string"):
        bad += [5, True, "\ud800"]
    if kind.startswith("string:"):
        bad += ["nonsense"]
    if kind.startswith(("integer", "number")):
        bad += ["x", True, 10**400, float("inf")]
    if kind.startswith("integer"):
        bad += [1.5]
    if kind.startswith("boolean"):
        bad += ["true", 1]
    for bound, step in (("min", -1), ("max", 1)):
        if isinstance(field.get(bound), int | float):
            bad.append(field[bound] + step)
    return bad


QUERIES = [
    pytest.param(method, parameter, text, id=f"{named(method)}-{parameter['name']}-{text[:12]}")
    for method in METHODS
    for parameter in method.get("query") or []
    for text in bad_texts(parameter)
]
FIELDS = [
    pytest.param(method, field, value, id=f"{named(method)}-{field['name']}-{str(value)[:12]!r}")
    for method in METHODS
    if method["body"]["kind"] == "json"
    for field in method["body"]["fields"]
    for value in bad_values(field)
]
PARTS = [
    pytest.param(method, field, text, id=f"{named(method)}-{field['name']}-{text[:12]}")
    for method in METHODS
    if method["body"]["kind"] == "multipart"
    for field in method["body"]["fields"]
    for text in bad_texts(field)
]
MALFORMED = {
    "folded": b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a\n b.mp4"\r\n\r\nx\r\n--cut--\r\n',
    "no colon": b"--cut\r\nContent-Disposition\r\n\r\nx\r\n--cut--\r\n",
    "over 8 KiB": b"--cut\r\na: " + b"x" * 9000 + b"\r\n\r\nx\r\n--cut--\r\n",
    "charset": b'--cut\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\n' + b"x" * 50 + b"\r\n--cut--\r\n",
}
FORMS = [
    pytest.param(method, body, id=f"{named(method)}-{name}")
    for method in METHODS
    if method["body"]["kind"] == "multipart"
    for name, body in MALFORMED.items()
]
REQUIRED = [
    pytest.param(method, field, id=f"{named(method)}-{field['name']}")
    for method in METHODS
    for field in method["body"].get("fields") or []
    if field["required"]
]


@pytest.mark.parametrize(("method", "parameter", "text"), QUERIES)
def test_a_bad_value_in_a_query_is_refused(
    engine: RunningEngine, ids: dict[str, str], method: dict[str, Any], parameter: dict[str, Any], text: str
) -> None:
    path = f"{filled(method, ids)}?{parameter['name']}={quote(text)}"
    assert refusal(method, *engine.call(method["verb"], path)) == "parameter_invalid"


@pytest.mark.parametrize(("method", "body"), FORMS)
def test_a_malformed_form_is_refused_on_every_route(
    engine: RunningEngine, ids: dict[str, str], method: dict[str, Any], body: bytes
) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=cut"}
    status, told = engine.call(method["verb"], filled(method, ids), body, headers)
    assert (status, refusal(method, status, told)) == (400, "parameter_invalid")


@pytest.mark.parametrize(("method", "field", "value"), FIELDS)
def test_a_bad_value_in_a_body_is_refused_by_the_name_of_its_member(
    engine: RunningEngine, ids: dict[str, str], method: dict[str, Any], field: dict[str, Any], value: Any
) -> None:
    name = field["name"]
    body = good_body(named(method), ids) | {name: value}
    if name in ("text", "image", "text_image", "audio", "multi_input"):
        body["input_type"] = name  # the others are not looked at
    if name == "video_id":
        del body["video"]
    status, told = ask(engine, method, filled(method, ids), body)
    code = refusal(method, status, told)
    assert code in ("parameter_invalid", "parameter_not_provided", "resource_not_exist", "video_filesize_too_large")
    if code.startswith("parameter"):
        message = (told["error"] if nests(method) else told)["message"]
        assert name in message or "surrogate" in message or "JSON" in message, message


@pytest.mark.parametrize(("method", "field", "text"), PARTS)
def test_a_bad_value_in_a_form_is_refused(
    engine: RunningEngine, ids: dict[str, str], method: dict[str, Any], field: dict[str, Any], text: str
) -> None:
    body = good_body(named(method), ids) | {field["name"]: text}
    if field["name"] == "query_media_type":
        body["query_media_url"] = "http://127.0.0.1:9/x.png"
    if field["name"] == "audio_start_offset_sec":
        body["audio_url"] = "http://127.0.0.1:9/x.wav"
    code = refusal(method, *ask(engine, method, filled(method, ids), body))
    assert code in ("parameter_invalid", "search_option_not_supported")


@pytest.mark.parametrize(("method", "field"), REQUIRED)
def test_what_is_required_is_missed_by_its_name(
    engine: RunningEngine, ids: dict[str, str], method: dict[str, Any], field: dict[str, Any]
) -> None:
    body = {name: value for name, value in good_body(named(method), ids).items() if name != field["name"]}
    status, told = ask(engine, method, filled(method, ids), body)
    assert (status, refusal(method, status, told)) == (400, "parameter_not_provided")
    assert field["name"] in json.dumps(told) or field["name"] == "completed_chunks"


@pytest.mark.parametrize("method", [one for one in METHODS if one["path_params"]], ids=named)
@pytest.mark.parametrize("ident", [UNKNOWN, "x", "%2e%2e", "é" * 30, "0" * 500, "'; DROP TABLE assets"])
def test_an_id_that_nothing_bears_is_unknown(engine: RunningEngine, method: dict[str, Any], ident: str) -> None:
    path = str(method["path"])
    for parameter in method["path_params"]:
        path = path.replace(f"{{{parameter['name']}}}", quote(ident, safe="%"))
    body = good_body(named(method), {"asset_id": UNKNOWN, "image": UNKNOWN, "index_id": UNKNOWN})
    if named(method) == "multipart_upload.report_chunk_batch":
        body = {"completed_chunks": [{"chunk_index": 1, "proof": "0" * 32, "proof_type": "etag", "chunk_size": 1}]}
    status, told = ask(engine, method, path, body)
    code = refusal(method, status, told)
    expected = (
        (400, "parameter_invalid")
        if "page_token" in path or method["path"].endswith("_token}")
        else (404, "resource_not_exist")
    )
    assert (status, code) == expected


# -- good answers ------------------------------------------------------------------------


def fits(told: Any, kind: Any, path: str) -> list[str]:
    """Return what is wrong with a value, by the description of its type."""
    if isinstance(kind, dict) and "one_of" in kind:
        return min((fits(told, one, path) for one in kind["one_of"]), key=len)
    if isinstance(kind, dict):
        if not isinstance(told, dict):
            return [f"{path} is no object"]
        early = told.get("status") in UNFINISHED
        members = {name: one for name, one in kind.items() if name != "required!" and not (early and name in MEASURED)}
        missing = [f"{path}.{name} is missing" for name in members if name not in told and name not in ABSENT]
        return missing + [fault for name in members if name in told for fault in fits(told[name], members[name], f"{path}.{name}")]  # fmt: skip
    if isinstance(kind, list):
        if not isinstance(told, list):
            return [f"{path} is no list"]
        return [fault for at, one in enumerate(told) for fault in fits(one, kind[0], f"{path}[{at}]")]
    return [] if _is(told, str(kind)) else [f"{path} is {told!r}, not {kind}"]


def _is(told: Any, kind: str) -> bool:
    kind = kind.removesuffix("!")
    if kind.startswith("string:"):
        return told in kind.removeprefix("string:").split("|")
    number = isinstance(told, int | float) and not isinstance(told, bool)
    checks = {
        "null": told is None, "string": isinstance(told, str), "integer": type(told) is int, "number": number,
        "boolean": isinstance(told, bool), "map": isinstance(told, dict), "array|null": told is None or isinstance(told, list),
        "number|null": told is None or number, "any": True,
    }  # fmt: skip
    return next(
        good
        for name, good in checks.items()
        if kind == name or kind.startswith(f"{name}(") or kind.startswith(f"{name}<")
    )


LAST = ("delete", "transfers", "report_chunk_batch", "analyze_stream")  # made once, in tests of their own


def succeed(engine: RunningEngine, method: dict[str, Any], ids: dict[str, str]) -> None:
    ids = dict(ids)
    if "embed" not in named(method) and "{task_id}" in method["path"]:
        kind = "analyze_async.tasks.create" if "analyze" in method["path"] else "tasks.create"
        made = new(engine, *_created(kind, ids))
        ids["task_id"] = made.get("_id") or made["task_id"]
    elif "{task_id}" in method["path"]:
        ids["task_id"] = ids["embed_v2"] if "v2" in method["path"] else ids["embed"]
    if named(method) == "search.retrieve":
        page = new(engine, *_created("search.create", ids))
        ids["page_token"] = page["page_info"]["next_page_token"]
    status, told = ask(engine, method, filled(method, ids), good_body(named(method), ids))
    assert status == method["success"]["status"], told
    body = method["success"]["body"]
    assert (told is None) == (body is None)
    if isinstance(body, dict):
        assert fits(told, body, "answer") == []


def _created(name: str, ids: dict[str, str]) -> tuple[Any, ...]:
    method = next(one for one in METHODS if one["method"] == name)
    body = good_body(name, ids)
    if method["body"]["kind"] == "multipart":
        return (method["path"], *form({key: str(value) for key, value in body.items()}))
    return (method["path"], body)


@pytest.mark.parametrize(
    "method",
    [one for one in METHODS if "embed" not in named(one) and not any(part in named(one) for part in LAST)],
    ids=named,
)
def test_an_answer_has_the_status_and_the_members_that_are_described(
    engine: RunningEngine, ids: dict[str, str], method: dict[str, Any]
) -> None:
    succeed(engine, method, ids)


def test_what_is_deleted_answers_204_without_a_body(engine: RunningEngine, sample_clip: Path) -> None:
    mine = functools.partial(new, engine)
    index = mine("/indexes", {"index_name": "to go", "models": [{"model_name": MARENGO}]})["_id"]
    cast = mine("/entity-collections", {"name": "to go"})["_id"]
    asset = engine.upload(sample_clip)["_id"]
    for path in (f"/assets/{asset}", f"/indexes/{index}", f"/entity-collections/{cast}"):
        assert engine.call("DELETE", path) == (204, None)
        assert engine.call("DELETE", path)[0] == 404


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    """An engine with the true weights."""
    with running_engine(tmp_path_factory.mktemp("surface"), "--meaning", str(true_weights())) as running:
        yield running


@pytest.fixture(scope="module")
def embedded(embedding: RunningEngine, sample_clip: Path) -> dict[str, str]:
    ids = world(embedding, sample_clip)
    ids["embed_v2"] = new(embedding, *_created("embed.v_2.tasks.create", ids))["_id"]
    fields = {"model_name": MARENGO}
    body, headers = form(fields, ("s.mp4", sample_clip.read_bytes()))
    ids["embed"] = new(embedding, "/embed/tasks", body.replace(b'name="file"', b'name="video_file"'), headers)["_id"]
    embedding.over(f"/embed-v2/tasks/{ids['embed_v2']}")
    embedding.over(f"/embed/tasks/{ids['embed']}")
    return ids


@pytest.mark.parametrize("method", [one for one in METHODS if "embed" in named(one)], ids=named)
def test_an_embedding_has_the_status_and_the_members_that_are_described(
    embedding: RunningEngine, embedded: dict[str, str], method: dict[str, Any]
) -> None:
    succeed(embedding, method, embedded)
