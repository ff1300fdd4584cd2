"""docs/python.md says what is there, and its examples run as they stand."""

import asyncio
import inspect
import os
import re
import sys
from pathlib import Path

import orjson
import pytest

from fanlight import Client, ClientError
from tests.fakes.service import Serving
from tests.fakes.upstream import Play, end, start, text

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
SAID = {"What happens?": "A red car turns left.", "As JSON?": '{"cars": [{"colour": "red"}]}'}


def test_every_example_shows_what_it_prints():
    assert len(EXAMPLES) == PAGE.count("```python") == 4


@pytest.mark.parametrize(("program", "printed"), EXAMPLES)
async def test_an_example_prints_what_the_page_says(serving: Serving, tmp_path: Path, program: str, printed: str):
    (tmp_path / "clip.mp4").write_bytes(b"video")
    (prompt,) = (prompt for prompt in SAID if prompt in program)
    asset = orjson.dumps({"_id": "a" * 24, "status": "ready"})
    async with serving(Play([])) as service:
        service.upstream.paths = {
            "/v1.3/assets": Play([asset], 201, {"Content-Type": "application/json"}),
            "/v1.3/analyze": Play([start(), text(SAID[prompt]), end()]),
        }
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program.replace("http://127.0.0.1:8080", service.url), cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(child.communicate(), 30)
    assert (child.returncode, out.decode()) == (0, printed)


def test_the_clocks_are_those_of_the_code():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.*?) \|", PAGE, re.MULTILINE)
    assert len(rows) == 6
    for name, default, where in rows:
        for place in re.findall(r"`(\w+)`", where):
            of = Client if place == "Client" else getattr(Client, place)
            assert inspect.signature(of).parameters[name].default == float(default), name


def test_all_errors_are_named():
    errors = {one.__name__ for one in ClientError.__subclasses__()}
    assert errors == set(re.findall(r"^\| `(\w+)` \| (?!\d)", PAGE[PAGE.index("## Errors") :], re.MULTILINE))
