"""Each client shows what docs/dialects.md says it shows, by its real packages."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.service.dialects.clients.installed import CLIENTS, SCHEMAS, CannotBeHad, Client, command
from tests.service.dialects.clients.scenes import Cell, Scene, play, scenes

GOLDEN = Path(__file__).parent.parent / "golden"
pytestmark = pytest.mark.slow

CHAT = {
    "success": r'ready, "a dog"',
    "structured": r'ready, {"kind":"dog","n":2}, valid true',
    "cut": r'error, "a ", The transfer .* \(upstream_broken\)',
    "early": r"error, The upstream refused the call with status 500\. \(upstream_refused\)",
    "stop": r'ready, "a "',
    "resume": r'ready, "a dog", the same message',
    "tabs": r'ready, "a dog"; ready, "a dog"',
    "follow": r'ready, "a dog", 4 messages',
    "usage": "3 out",
    "novideo": r"error, No video is named: .* \(video_required\)",
}
OPENAI = {
    "success": r'stop, "a dog"',
    "structured": r"""Seen\(kind='dog', n=2\)|{"kind": ?"dog", ?"n": ?2}""",
    "cut": r'"a ", APIError upstream_broken',
    "early": r"\w+Error( 502)? upstream_refused",
    "stop": r'"a "',
    "tabs": r'stop, "a dog"; stop, "a dog"',
    "follow": r'stop, "a dog"',
    "usage": "3 out",
    "novideo": r"\w+Error( 400)? video_required",
}
PROVIDER = OPENAI | {
    "cut": r'(error, )?"a ", error .*',
    "early": r"(error, )?error Failed after 3 attempts.*",  # it knows no x-should-retry
    "stop": r'aborted, "a "',
    "novideo": r"(error, )?error no video is named.*",
}
CALLS = {"follow": 2, "novideo": 0}
ENDINGS = {"success": "completed", "cut": "upstream_broken", "early": "upstream_refused", "tabs": "completed"}


def seen_by(client: Client) -> dict[str, str]:
    return {"ai_sdk.mjs": CHAT, "provider.mjs": PROVIDER}.get(client.script, OPENAI)


@pytest.mark.parametrize("client", SCHEMAS, ids=lambda client: client.name)
def test_the_golden_files_pass_the_clients_own_schemas(client: Client, root: Path):
    words = command_or_skip(client, root)
    files = sorted(GOLDEN.glob("openai-*" if client.is_python else "ai-sdk-*"))
    done = subprocess.run([*words, *map(str, files)], capture_output=True, text=True, check=True, timeout=60)
    told = json.loads(done.stdout)
    assert (told["refused"], told["chunks"] > len(files)) == ([], True)


def command_or_skip(client: Client, root: Path) -> list[str]:
    try:
        return command(client, root)[0]
    except CannotBeHad as exc:
        pytest.skip(f"{client.name} cannot be had: {exc}")


@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.name)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_the_user_of_a_client_sees(client: Client, scene: Scene, root: Path):
    if (expected := seen_by(client).get(scene.name)) is None:
        pytest.skip("there is no such thing in this protocol")
    words = command_or_skip(client, root)
    cell = await play(words, scene)
    assert re.fullmatch(expected, cell.saw), cell.saw
    assert_paid_for(client, scene, cell)


def assert_paid_for(client: Client, scene: Scene, cell: Cell) -> None:
    """The analyses behind a scene: no more than had to be, and ended as they should."""
    is_provider = client.script == "provider.mjs"
    assert cell.calls == (3 if is_provider and scene.name == "early" else CALLS.get(scene.name, 1))
    if scene.name == "stop":
        # A chat stops by a call; the others leave.
        assert cell.endings == ("cancelled" if client.script == "ai_sdk.mjs" else "abandoned",)
    elif scene.name in ENDINGS:
        assert set(cell.endings) == {ENDINGS[scene.name]}
    if scene.name == "follow":
        assert cell.prompt == "Conversation so far:\nUser: what?\nAssistant: a dog\n\nwhy?"
