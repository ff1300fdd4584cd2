"""Who may call, what is refused at the door, and what is passed through."""

import asyncio
import hashlib

import aiohttp
import pytest
from pydantic import ValidationError
from yarl import URL

from config.settings import CLOUD, Settings
from service.access.book import BookBroken
from service.web import keys
from tests.fakes.service import Serving
from tests.fakes.upstream import Hang, Play, end, start, text
from tests.fakes.waiting import until

PARTS = [start(), text("one"), end()]


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


KEYS = {digest("ka"): "anna", digest("kb"): "bert"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"x-api-key": "no"}, 401), ({"x-api-key": "ka"}, 200), ({"Authorization": "Bearer ka"}, 200), ({"Authorization": "Basic ka"}, 401)],
)  # fmt: skip
async def test_a_key_is_needed_where_keys_are_set(serving: Serving, headers, status):
    async with serving(Play(PARTS), api_keys=KEYS) as service:
        async with service.http.get(service.url + "/v1/streams", headers=headers) as answer:
            assert answer.status == status
            if status == 401:
                assert (await answer.json())["code"] == "unauthenticated"
        async with service.http.get(service.url + "/livez") as answer:
            assert answer.status == 200
        async with service.http.ws_connect(service.url + "/v1/ws", headers=headers) as socket:
            if status == 401:
                assert (await socket.receive(timeout=5)).data == 4401
            else:
                await socket.send_str('{"type":"ping"}')
                assert (await socket.receive(timeout=5)).data == '{"type":"pong"}'


async def test_what_belongs_to_another_tenant_is_not_found_and_never_joined(serving: Serving):
    async with serving(Play([start(), Hang()]), api_keys=KEYS) as service:
        url = service.url + "/v1/streams"
        ids = {}
        for key in ("ka", "kb"):
            async with service.http.post(url, json={"prompt": "p"}, headers={"x-api-key": key}) as answer:
                assert answer.status == 201
                ids[key] = (await answer.json())["id"]
        for method in ("GET", "DELETE"):
            async with service.http.request(method, f"{url}/{ids['ka']}", headers={"x-api-key": "kb"}) as answer:
                assert (answer.status, (await answer.json())["code"]) == (404, "not_found")
        async with service.http.get(f"{url}/{ids['ka']}", headers={"x-api-key": "ka"}) as answer:
            assert (await answer.json())["tenant"] == "anna"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "multipart-chunks/secret", 200),
        ("GET", "thumbnails/secret", 200),
        ("GET", "hls/secret/index.m3u8", 200),
        ("GET", "hls/secret/0.ts", 200),
        ("GET", "multipart-chunks/secret", 401),
        ("PUT", "assets/1", 401),
        ("DELETE", "hls/secret/0.ts", 401),
        # Nothing may lead from there to what is not signed.
        ("GET", "hls/../assets", 401),
        ("GET", "hls/%2e%2e/assets", 401),
        ("GET", "hls/x/..%2f..%2fassets", 401),
        ("GET", "hls/secret/index.m3u8?x=/../assets", 401),
        ("GET", "thumbnails//../assets", 401),
    ],
)
async def test_a_signed_address_needs_no_key_and_nothing_else_goes_without(
    serving: Serving, method: str, path: str, status: int
):
    async with serving(Play([b""]), api_keys=KEYS) as service:
        url = URL(f"{service.url}/v1.3/{path}", encoded=True)
        async with service.http.request(method, url, data=b"chunk" if method == "PUT" else None) as answer:
            assert answer.status == status
        assert len(service.upstream.seen) == (status == 200)


async def test_the_callers_key_is_replaced_by_the_configured_one(serving: Serving):
    async with serving(Play(PARTS), api_keys=KEYS, upstream_key="secret") as service:
        headers = {"x-api-key": "ka", "Authorization": "Bearer ka", "Cookie": "a=b"}
        async with service.http.get(service.url + "/v1.3/assets", headers=headers) as answer:
            await answer.read()
        async with service.analyze(headers=headers) as answer:
            await answer.read()
        for seen in service.upstream.seen:
            sent = {name.lower(): value for name, value in seen.headers}
            assert sent["x-api-key"] == "secret"
            assert not {"authorization", "cookie"} & set(sent)


async def test_the_embedded_engine_alone_is_told_whose_call_it_is(serving: Serving):
    async with serving(Play(PARTS), api_keys=KEYS) as service:
        for tell in (False, True):
            service.app._state[keys.TELL_TENANT] = tell
            headers = {"x-api-key": "ka", "X-Fanlight-Tenant": "bert"}
            async with service.http.get(service.url + "/v1.3/assets", headers=headers) as answer:
                await answer.read()
            async with service.analyze(headers=headers) as answer:
                await answer.read()
        told = [dict(seen.headers).get("X-Fanlight-Tenant") for seen in service.upstream.seen]
        assert told == ["bert", None, "anna", "anna"]  # a caller's word counts nothing


async def test_callers_keys_are_passed_on_where_the_setting_says_so(serving: Serving):
    async with serving(Play([start(), Hang()]), forward_keys=True) as service:
        async with service.http.post(service.url + "/v1/streams", json={}) as answer:
            assert answer.status == 401
        tenants = set()
        for key in ("mine", "theirs"):
            async with service.http.post(service.url + "/v1/streams", json={}, headers={"x-api-key": key}) as answer:
                assert answer.headers["Fanlight-Join"] == "leader"
                tenants.add((await answer.json())["tenant"])
        await until(lambda: len(service.upstream.seen) == 2)
        assert len(tenants) == 2
        assert "mine" not in str(tenants)
        assert {dict(seen.headers)["x-api-key"] for seen in service.upstream.seen} == {"mine", "theirs"}


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:9", 200), ("127.3.2.1", 200), ("[::1]:80", 200), ("evil.example", 403), ("127.0.0.1.evil.example", 403), ("my.example", 200), ("", 403), ("a b", 403)],
)  # fmt: skip
async def test_a_request_for_another_host_is_refused(serving: Serving, host, status):
    async with serving(Play(PARTS), hosts=("my.example",)) as service:
        async with service.http.get(service.url + "/v1/streams", headers={"Host": host}) as answer:
            assert answer.status == status


async def test_pages_of_other_origins_are_refused_and_listed_ones_get_cors(serving: Serving):
    async with serving(Play(PARTS), origins=("https://app.example",)) as service:
        own = service.url
        for origin, status in (("https://evil.example", 403), ("null", 403), (own, 200), ("https://app.example", 200)):
            async with service.http.get(service.url + "/v1/streams", headers={"Origin": origin}) as answer:
                assert answer.status == status
                allowed = answer.headers.get("Access-Control-Allow-Origin")
                assert allowed == (origin if origin == "https://app.example" else None)
        stream = await service.start()
        headers = {"Origin": "https://app.example"}
        async with service.http.get(f"{service.url}/v1/streams/{stream}/events", headers=headers) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
            assert "Fanlight-Stream" in answer.headers["Access-Control-Expose-Headers"]
        preflight = {
            **headers,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        async with service.http.options(service.url + "/v1/streams", headers=preflight) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Headers"] == "content-type"


@pytest.mark.parametrize("path", ["/v1/streams", "/v1.3/analyze"])
@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        (b"{}", "text/plain", 400, "invalid_request"),
        (b"{", "application/json", 400, "invalid_request"),
        (b"[]", "application/json", 400, "invalid_request"),
        (b"\xff", "application/json", 400, "invalid_request"),
        (b'{"stream":"yes"}', "application/json", 400, "invalid_request"),
        (b'{"a":' * 100_000, "application/json", 400, "invalid_request"),
        (b" " * 3000, "application/json", 413, "too_large"),
    ],
)
async def test_a_body_that_is_wrong_is_refused_before_anything_is_spent(
    serving: Serving, path, body, content_type, status, code
):
    async with serving(Play(PARTS), max_body_bytes=2000 if status == 413 else 1 << 20) as service:
        headers = {"Content-Type": content_type}
        async with service.http.post(service.url + path, data=body, headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (status, code)
        assert service.upstream.seen == []


async def test_a_body_that_does_not_come_is_given_up(serving: Serving):
    async with serving(Play(PARTS), body_timeout_s=0.1) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        writer.write(
            b"POST /v1/streams HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        assert b"400 Bad Request" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.close()


async def test_a_head_that_does_not_come_is_given_up(serving: Serving):
    async with serving(Play(PARTS), header_timeout_s=0.2) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        writer.write(b"GET /v1/streams HTTP/1.1\r\nHost: loc")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


@pytest.mark.parametrize("path", ["/nothing", "/v1/nothing", "/v1/streams/st_none", "/v1/streams/st_none/events"])
async def test_what_is_not_there_is_not_found_in_json(serving: Serving, path):
    async with serving(Play(PARTS)) as service, service.http.get(service.url + path) as answer:
        assert (answer.status, (await answer.json())["code"]) == (404, "not_found")


async def test_a_method_that_is_not_allowed_says_which_are(serving: Serving):
    async with serving(Play(PARTS)) as service, service.http.put(service.url + "/v1/streams") as answer:
        assert answer.status == 405
        assert "GET" in answer.headers["Allow"]


async def test_a_call_is_passed_through_as_it_is(serving: Serving):
    body = b"--x\r\n\0\xff\r\n--x--"
    play = Play([b'{"a":1}'], 201, {"Content-Type": "application/json", "X-Custom": "kept", "Set-Cookie": "a=b"})
    async with serving(play) as service:
        url = service.url + "/v1.3/indexes/1%2F2/videos?page=1&filter[size][gte]=5&filter[size][lte]=9&a=1&a=2&q=%20+"
        from yarl import URL

        async with service.http.request(
            "DELETE",
            URL(url, encoded=True),
            data=body,
            headers={
                "Content-Type": "multipart/form-data; boundary=x",
                "X-Mine": "1",
                "Connection": "x-hop",
                "X-Hop": "1",
            },
        ) as answer:
            assert answer.status == 201
            assert await answer.read() == b'{"a":1}'
            assert answer.headers["X-Custom"] == "kept"
            assert "Set-Cookie" not in answer.headers
        seen = service.upstream.seen[0]
        assert seen.line == "DELETE " + url.removeprefix(service.url) + " HTTP/1.1"
        assert seen.body == body
        sent = {name.lower(): value for name, value in seen.headers}
        assert sent["x-mine"] == "1"
        assert sent["content-type"] == "multipart/form-data; boundary=x"
        assert sent["host"] == service.upstream.url.split("/")[2]
        assert sent["x-forwarded-for"] == "127.0.0.1"
        assert sent["x-forwarded-host"] == service.url.removeprefix("http://")
        assert "x-hop" not in sent


async def test_a_redirect_is_returned_rather_than_followed(serving: Serving):
    async with serving(Play([], 302, {"Location": "https://elsewhere.example/x"})) as service:
        async with service.http.get(service.url + "/v1.3/assets/1", allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, "https://elsewhere.example/x")


@pytest.mark.parametrize("path", ["/v1.3/../livez", "/v1.3/a/%2e%2e/b", "/v1.3/a/..%2f..%2fb", "/v1.3/.%2E/b"])
async def test_a_path_that_climbs_is_not_passed_on(serving: Serving, path):
    async with serving(Play(PARTS)) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 5)
        assert b" 400 " in answer.splitlines()[0]
        assert service.upstream.seen == []
        writer.close()


async def test_the_figures_say_what_was_done(serving: Serving):
    async with serving(Play(PARTS)) as service:
        await service.show(await service.start(), "?wait=5")
        async with service.http.get(service.url + "/metrics") as answer:
            figures = await answer.text()
        assert 'fanlight_endings_total{code="",status="completed"} 1.0' in figures
        assert 'fanlight_starts_total{join="leader"} 1.0' in figures
        assert "fanlight_streams_running 0.0" in figures


async def test_an_upload_that_breaks_off_is_never_whole_for_the_upstream(serving: Serving):
    async with serving(Play([b"{}"], 200)) as service:
        _, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        writer.write(b"POST /v1.3/assets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nhalf")
        await writer.drain()
        writer.transport.abort()
        async with service.http.get(service.url + "/v1.3/other") as answer:
            assert answer.status == 200
        assert [seen.line for seen in service.upstream.seen] == ["GET /v1.3/other HTTP/1.1"]


async def test_an_answer_that_breaks_off_is_broken_for_the_caller(serving: Serving):
    from tests.fakes.upstream import Cut

    async with serving(Play([b"half", Cut()])) as service:
        with pytest.raises(aiohttp.ClientError):
            async with service.http.get(service.url + "/v1.3/assets") as answer:
                await answer.read()


async def test_an_upstream_that_is_not_there_is_502(serving: Serving):
    async with serving(Play(PARTS), upstream_url="http://127.0.0.1:1/v1.3") as service:
        async with service.http.get(service.url + "/v1.3/assets") as answer:
            assert (answer.status, (await answer.json())["code"]) == (502, "upstream_unreachable")
        async with service.analyze() as answer:
            assert (answer.status, (await answer.json())["code"]) == (502, "upstream_unreachable")
        async with service.http.get(service.url + "/readyz") as answer:
            assert answer.status == 200
            assert (await answer.json())["upstream"]["breaker"] == "closed"


async def test_binding_beyond_loopback_without_keys_is_refused(serving: Serving):
    with pytest.raises(BookBroken, match="FANLIGHT_ALLOW_OPEN"):
        async with serving(host="0.0.0.0"):
            pass
    async with serving(host="0.0.0.0", allow_open=True), serving(host="0.0.0.0", api_keys=KEYS):
        pass


def test_the_upstream_is_the_cloud_when_a_key_is_there_else_the_engine(monkeypatch: pytest.MonkeyPatch):
    assert Settings().upstream == "embedded"
    monkeypatch.setenv("TWELVELABS_API_KEY", "tlk")
    settings = Settings()
    assert settings.upstream == CLOUD
    assert "costs money" in settings.upstream_in_words
    assert "tlk" not in str(settings.shown())
    monkeypatch.setenv("FANLIGHT_UPSTREAM_URL", "embedded")
    assert Settings().upstream == "embedded"


def test_settings_come_from_the_environment_then_from_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path):
    file = tmp_path / "fanlight.toml"
    file.write_text('port = 9000\nidle_timeout_s = 7\norigins = ["https://a.example"]\n')
    monkeypatch.setenv("FANLIGHT_CONFIG", str(file))
    monkeypatch.setenv("FANLIGHT_PORT", "9001")
    monkeypatch.setenv("FANLIGHT_API_KEYS", f"anna:{digest('ka')}, bert:{digest('kb').upper()}")
    settings = Settings()
    assert (settings.port, settings.idle_timeout_s, settings.origins) == (9001, 7, ("https://a.example",))
    assert settings.api_keys == KEYS


@pytest.mark.parametrize("value", ["anna", "anna:xyz", ":" + "0" * 64, "anna:" + "0" * 63])
def test_a_malformed_key_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, value):
    monkeypatch.setenv("FANLIGHT_API_KEYS", value)
    with pytest.raises(ValidationError):
        Settings()


def test_a_high_water_mark_that_no_socket_option_can_hold_is_refused():
    with pytest.raises(ValidationError, match="high_water_bytes"):
        Settings(high_water_bytes=1 << 31)
