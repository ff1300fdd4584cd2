"""The API as it is described: true of the routes, of every example of the wire page, and of what a stranger sends."""

import asyncio
import re
import threading
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema_rs
import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from protocol.wire.commands import Command
from service.web.described import asyncapi, openapi
from tests.fakes.service import Serving, open_service
from tests.fakes.upstream import Play, end, start, text
from tests.wire.test_page import examples

CALLS = openapi.document("0")
SOCKETS = asyncapi.document("0", "localhost:8080", secure=False)
# Pages and files are for people; what stands under /v1.3 is the upstream's to describe.
UNDESCRIBED = frozenset({"/", "/captions", "/docs", "/static/{name}", "/v1.3/{path}"})
WS = frozenset({"/v1/ws", "/v1/streams/{id}/ws", "/v1/channels/{name}/ws"})


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for one in value.values():
            yield from refs(one)
    elif isinstance(value, list):
        for one in value:
            yield from refs(one)


def test_the_calls_are_openapi():
    validate(CALLS)


@pytest.mark.parametrize("document", [CALLS, SOCKETS], ids=["openapi", "asyncapi"])
def test_each_reference_leads_somewhere(document: dict[str, Any]):
    found = set(refs(document))
    assert found
    for reference in found:
        place: Any = document
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


async def test_each_route_is_described_and_back(serving: Serving):
    async with serving(Play([])) as service:
        routes = {
            (route.method.lower(), re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.resource.canonical))
            for route in service.app.router.routes()
            if route.resource is not None and route.method not in ("HEAD", "*")
        }
    kinds = {("get", f"/v1/streams/{{id}}/captions.{kind}") for kind in ("vtt", "srt", "json")}
    routes = {one for one in routes if one[1] not in UNDESCRIBED and one[1] not in WS}
    routes = (routes - {("get", "/v1/streams/{id}/captions.{kind}")}) | kinds
    assert {(call.method, call.path) for call in openapi.CALLS} == routes
    assert {channel["address"] for channel in SOCKETS["channels"].values()} == WS


def test_each_call_has_a_name_of_its_own_and_a_section():
    told = [call.told() for call in openapi.CALLS]
    assert len({one["operationId"] for one in told}) == len(told)
    assert {one["tags"][0] for one in told} == openapi.TAGS.keys()


def validator(name: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{name}", "components": CALLS["components"]})


def said(marks: str) -> list[dict[str, Any]]:
    """JSON objects on lines of the wire page's examples that begin so."""
    lines = [line for _, language, whole in examples() if language == "session" for line in whole.splitlines()]
    found = [match[1] for line in lines if (match := re.fullmatch(marks + r"(?:data: )?(\{.*\})", line))]
    return [orjson.loads(one) for one in found if "…" not in one]


def test_each_message_of_the_wire_page_has_its_shape():
    message, error, streams = validator("Message"), validator("Error"), validator("Streams")
    seen = set()
    for one in said("< "):
        if "type" in one:
            message.validate(one)
            seen.add(one["type"])
        elif one.keys() == {"code", "message", "retryable"}:
            error.validate(one)
        elif "streams" in one:
            streams.validate(one)
    assert len(seen) >= 12


def test_each_command_of_the_wire_page_has_its_shape():
    shapes = {command.model_fields["type"].annotation.__args__[0]: command.__name__ for command in get_args(Command)}
    seen = set()
    for one in said("> "):
        if one.get("type") in shapes:
            validator(shapes[one["type"]]).validate(one)
            seen.add(one["type"])
    assert seen >= {"subscribe", "start", "cancel", "ping"}


async def test_the_descriptions_and_the_page_need_no_key_and_name_no_tenant(serving: Serving):
    keys = {"0" * 64: "anna"}
    async with serving(Play([]), api_keys=keys) as service:
        for path, kind in (("openapi.json", "json"), ("asyncapi.json", "json"), ("docs", "html")):
            async with service.http.get(f"{service.url}/{path}") as answer:
                assert (answer.status, kind in answer.content_type) == (200, True)
                whole = await answer.text()
                assert "anna" not in whole
            if kind == "html":
                assert "<script" not in whole
                assert not re.findall(r'(?:src|href)="?https?:', whole)
                assert all(call.told()["operationId"] in whole for call in openapi.CALLS)


# -- the running service, driven from its own description


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[str, list[str]]]:
    """A service in a thread of its own, and streams that it has."""
    up, stop, found = threading.Event(), asyncio.Event(), dict[str, Any]()

    async def serve() -> None:
        found["loop"] = asyncio.get_running_loop()
        async with open_service(Play([start(), text('{"a": 1}'), end()])) as service:
            found["url"] = service.url
            found["streams"] = [await service.start(prompt=f"{n}") for n in range(3)]
            up.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert up.wait(20)
    yield found["url"], found["streams"]
    found["loop"].call_soon_threadsafe(stop.set)
    thread.join()


schema = schemathesis.openapi.from_dict(CALLS)
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
)


# Channels never end; and whoever is let in without a key may end the service, too. Both have tests of their own.
@schema.exclude(path_regex="^/v1/(admin/drain|channels/.*)$").parametrize()
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_what_a_stranger_sends_is_answered_as_described(case: Any, running: tuple[str, list[str]]):
    url, streams = running
    ident = case.path_parameters.get("id", "")
    if case.path.startswith("/v1/streams/{id}") and len(ident) in range(1, 128, 2):
        case.path_parameters["id"] = streams[len(ident) % 3]
    case.call_and_validate(base_url=url, checks=CHECKS, timeout=20)
