"""The cases of conformance/, played with the clients in other languages that lie beside them."""

import shutil
from pathlib import Path

import pytest

from tests.conformance.cases import Case
from tests.conformance.clients import CASES, CommandClient, result

CLIENTS = Path(__file__).parent.parent.parent / "conformance" / "clients"
COMMANDS = {"perl": ["perl", str(CLIENTS / "perl" / "watch.pl")]}


def test_every_client_is_played():
    assert {path.name for path in CLIENTS.iterdir() if path.is_dir()} == set(COMMANDS)


@pytest.mark.parametrize("language", COMMANDS)
@pytest.mark.parametrize("case", CASES, ids=[f"{case.file}-{case.name}" for case in CASES])
async def test_a_client_in_another_language_keeps_the_contract(case: Case, language: str):
    command = COMMANDS[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    assert await result(case, CommandClient(command, language)) is None
