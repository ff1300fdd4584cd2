"""What SDKs since 1.3 add to the API: served where it can be, else refused by name. Plain HTTP, as they send it."""

from typing import Any

import pytest

from tests.engine.conftest import RunningEngine, form
from tests.engine.test_sdk import png

UNKNOWN = "0" * 24


def test_an_indexed_asset_is_made_with_its_metadata_and_found_by_its_asset(
    engine: RunningEngine, sample_asset: str
) -> None:
    engine.over(f"/assets/{sample_asset}")
    made = engine.call("POST", "/indexes", {"index_name": "newer", "models": [{"model_name": "marengo3.0"}]})[1]
    path = f"/indexes/{made['_id']}/indexed-assets"
    status, item = engine.call("POST", path, {"asset_id": sample_asset, "user_metadata": {"year": 2026}})
    assert status == 202
    assert engine.call("GET", f"{path}/{item['_id']}")[1]["user_metadata"] == {"year": 2026}
    assert engine.call("GET", f"{path}?updated_at=2000-01-01")[1]["data"] == []  # it was never updated
    data = engine.call("GET", f"/assets/{sample_asset}/indexed-assets")[1]["data"]
    assert {"_id": made["_id"], "name": "newer"} in [one["index"] for one in data]
    refused = {"asset_id": sample_asset, "user_metadata": {"list": [1]}}
    assert engine.call("POST", path, refused)[1]["code"] == "parameter_invalid"
    assert engine.call("GET", f"/assets/{UNKNOWN}/indexed-assets")[0] == 404
    engine.over(f"{path}/{item['_id']}")
    engine.call("DELETE", f"/indexes/{made['_id']}")


def test_entities_are_found_by_their_asset(engine: RunningEngine) -> None:
    image = engine.call("POST", "/assets", *form({"method": "direct"}, ("p.png", png(3.0))))[1]["_id"]
    engine.over(f"/assets/{image}")
    cast = engine.call("POST", "/entity-collections", {"name": "newer"})[1]["_id"]
    engine.call("POST", f"/entity-collections/{cast}/entities", {"name": "ball", "asset_ids": [image]})
    page = engine.call("GET", f"/assets/{image}/entities")[1]
    assert [one["name"] for one in page["data"]] == ["ball"]
    assert page["page_info"]["total_results"] == 1
    assert engine.call("GET", f"/assets/{UNKNOWN}/entities")[0] == 404


@pytest.mark.parametrize("name", ["enable_hls", "enable_thumbnail", "user_metadata"])
def test_what_is_kept_elsewhere_is_refused_with_where(engine: RunningEngine, name: str) -> None:
    value = '{"a": 1}' if name == "user_metadata" else "true"
    fields = {"method": "url", "url": "http://127.0.0.1:9/x.mp4", name: value}
    status, told = engine.call("POST", "/assets", *form(fields))
    assert (status, told["code"]) == (400, "parameter_invalid")
    assert name in told["message"]
    body = {"filename": "a.mp4", "type": "video", "total_size": 9, name: True}
    assert engine.call("POST", "/assets/multipart-uploads", body)[0] == 400
    if name != "user_metadata":
        assert engine.call("POST", "/assets", *form(fields | {name: "false"}))[0] == 201


@pytest.mark.parametrize(
    "member", [{"auto_truncate": True}, {"embedding_uncertainty": True}, {"embedding_dimension": 256}]
)
def test_an_embedding_of_a_later_model_is_refused(engine: RunningEngine, member: dict[str, Any]) -> None:
    body = {"input_type": "text", "model_name": "marengo3.0", "text": {"input_text": "x"}, **member}
    status, told = engine.call("POST", "/embed-v2", body)
    assert (status, told["error"]["code"]) == (400, "parameter_invalid")
    assert next(iter(member)) in told["error"]["message"]


def test_assets_are_found_by_name(engine: RunningEngine, sample_asset: str) -> None:
    page = engine.call("GET", "/assets?filename=sample.mp4&page_limit=50")[1]
    assert sample_asset in [one["_id"] for one in page["data"]]
    assert {one["filename"] for one in page["data"]} == {"sample.mp4"}
    assert engine.call("GET", "/assets?filename=other.mp4")[1]["data"] == []


@pytest.mark.parametrize("query", ["video_url=x", "asset_id=x", "analysis_mode=general"])
def test_filters_that_are_not_served_are_refused_not_passed_over(engine: RunningEngine, query: str) -> None:
    status, told = engine.call("GET", f"/analyze/tasks?{query}")
    assert (status, told["code"]) == (400, "parameter_invalid")


@pytest.mark.parametrize("path", ["/knowledge-stores", "/connections", "/responses", "/analyze/batches"])
def test_resources_that_are_not_served_are_unknown(engine: RunningEngine, path: str) -> None:
    status, told = engine.call("POST", path, {})
    assert (status, set(told)) in ((404, {"code", "message"}), (405, {"code", "message"}))
