"""What a form may not be is the caller's fault, and said so."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web

from engine.api.forms import read_disposition, read_form
from engine.api.web import errors_as_json
from engine.errors import ApiError
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
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a\n b.mp4"\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data;\r\n name="a"\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="no end\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="a"; name="b"\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\n' + b"x" * 50 + b"\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\n\xff\r\n--b--\r\n',
        b"--b\r\nContent-Type: multipart/mixed\r\n\r\nx\r\n--b--\r\n",
    ],
)
async def test_a_malformed_form_is_the_callers_fault(address: str, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with ClientSession() as session, session.post(address, data=body, headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "parameter_invalid")


@pytest.mark.parametrize(
    ("header", "filename"),
    [
        ('form-data; name="file"; filename="a;b;c.mp4"', "a;b;c.mp4"),
        ('form-data; filename="a; name=x; b"; name="file"', "a; name=x; b"),
        (r'form-data; name="file"; filename="say \"hi\"; go.mp4"', 'say "hi"; go.mp4'),
        (r'form-data; name="file"; filename="C:\films\a.mp4"', r"C:\films\a.mp4"),
        ("form-data; name=file; filename=a.mp4;", "a.mp4"),
        ("form-data; name=file; filename=x; filename*=utf-8''na%C3%AFve%3B.mp4", "naïve;.mp4"),
        ('form-data; name="file"; filename="na\udcc3\udcafve.mp4"', "naïve.mp4"),
    ],
)
def test_a_file_name_is_what_stands_in_its_quotes(header: str, filename: str) -> None:
    told = read_disposition(header)
    assert (told["name"], told["filename"]) == ("file", filename)


@pytest.mark.parametrize(
    "header", ['form-data; name="a', "form-data name=a", 'form-data; name="a"b', "; =a", "é; name=a"]
)
def test_a_disposition_that_cannot_be_read_is_the_callers_fault(header: str) -> None:
    with pytest.raises(ApiError, match="malformed"):
        read_disposition(header)
