"""The cases of conformance/, played with the clients in other languages that lie beside them."""

import shutil
from pathlib import Path

import pytest

from tests.conformance.cases import Case
from tests.conformance.clients import CASES, CommandClient, result

CLIENTS = Path(__file__).parent.parent.parent / "conformance" / "clients"
PLAYED = (
    CommandClient(["perl", str(CLIENTS / "perl" / "watch.pl")], "perl", "ndjson"),
    CommandClient(["node", str(CLIENTS / "node" / "watch.mjs")], "node", "events"),
)


def test_every_client_is_played():
    assert {path.name for path in CLIENTS.iterdir() if path.is_dir()} == {client.name for client in PLAYED}


@pytest.mark.parametrize("client", PLAYED, ids=[client.name for client in PLAYED])
@pytest.mark.parametrize("case", CASES, ids=[f"{case.file}-{case.name}" for case in CASES])
async def test_a_client_in_another_language_keeps_the_contract(case: Case, client: CommandClient):
    if shutil.which(client.command[0]) is None:
        pytest.skip(f"{client.command[0]} is not installed")
    assert await result(case, client) is None
