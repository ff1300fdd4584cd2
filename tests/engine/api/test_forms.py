"""What a form may not be is the caller's fault, and said so."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web

from engine.api.forms import read_form
from engine.api.web import errors_as_json
from engine.store.library import Library


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A server that reads forms without files, and needs no library for them."""

    async def names(request: web.Request) -> web.Response:
        async with read_form(request, Library.__new__(Library)) as form:
            return web.json_response(list(form.fields))

    app = web.Application(middlewares=[errors_as_json])
    app.router.add_post("/", names)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b\r\n" + b"a: b\r\n" * 5000 + b"\r\nx\r\n--b--\r\n",
        b"--b\r\na: " + b"x" * 20_000 + b"\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nno colon\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\n: no name\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\na: \0\r\n\r\nx\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nno end',
    ],
)
async def test_a_malformed_form_is_the_callers_fault(address: str, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with ClientSession() as session, session.post(address, data=body, headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "parameter_invalid")
