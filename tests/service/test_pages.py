"""The files of the pages, as they are sent."""

import pytest

from service.web.pages import STATIC
from tests.fakes.service import Serving

PAGES = {"origins": ("https://page.example",), "hosts": ("fanlight.example",)}


@pytest.mark.parametrize("path", ["/", "/captions"])
async def test_a_page_may_load_nothing_from_elsewhere_and_nothing_inline(serving: Serving, path: str):
    async with serving() as service, service.http.get(service.url + path) as answer:
        assert answer.status == 200
        rules = dict(rule.strip().split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split(";"))
        assert (rules["default-src"], rules["script-src"], rules["style-src"]) == ("'none'", "'self'", "'self'")
        words = await answer.text()
        assert "<style" not in words
        assert "style=" not in words
        assert " on" + "click" not in words
        assert words.count("<script") == words.count('<script type="module" src=')


async def test_a_file_is_sent_packed_and_once(serving: Serving):
    async with serving() as service:
        url = service.url + "/static/page.css"
        async with service.http.get(url, headers={"Accept-Encoding": "gzip"}) as answer:
            assert (answer.headers["Content-Encoding"], answer.content_type) == ("gzip", "text/css")
            assert await answer.read() == STATIC["page.css"].read_bytes()
            tag = answer.headers["ETag"]
        async with service.http.get(url, headers={"If-None-Match": tag}) as answer:
            assert (answer.status, await answer.read()) == (304, b"")
        async with service.http.get(url, headers={"Accept-Encoding": "identity"}) as answer:
            assert "Content-Encoding" not in answer.headers


async def test_a_listed_page_of_another_origin_may_load_the_modules(serving: Serving):
    async with serving(**PAGES) as service:
        url = service.url + "/static/elements.js"
        async with service.http.get(url, headers={"Origin": "https://page.example"}) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "https://page.example"
            assert answer.headers["Vary"] == "Accept-Encoding, Origin"
        async with service.http.get(url, headers={"Origin": "https://other.example"}) as answer:
            assert answer.status == 403


async def test_the_sample_is_sent_in_ranges(serving: Serving):
    async with serving() as service:
        async with service.http.get(service.url + "/static/sample.mp4", headers={"Range": "bytes=4-7"}) as answer:
            assert (answer.status, await answer.read()) == (206, b"ftyp")


@pytest.mark.parametrize("name", ["none.js", "index.html", "..%2fpages.py"])
async def test_no_other_file_is_served(serving: Serving, name: str):
    async with serving() as service, service.http.get(f"{service.url}/static/{name}") as answer:
        assert answer.status == 404
