"""Print the table of clients: ``python -m tests.service.dialects.clients.run``.

Installs the real packages into a temporary directory (or ``TESTS_CLIENTS``, which is kept) and runs each
against the service in front of a scripted upstream.
"""

import asyncio
import os
import tempfile
from pathlib import Path

from tests.service.dialects.clients.installed import CLIENTS, CannotBeHad, Client, command
from tests.service.dialects.clients.scenes import Cell, play, scenes

NONE = "not in this protocol"


async def row(client: Client, root: Path) -> tuple[str, dict[str, Cell | str]]:
    """A client's version, and its cells by the name of the scene.

    Raises:
        CannotBeHad: see `command`.
    """
    words, version = command(client, root)
    is_chat = client.script == "ai_sdk.mjs"
    cells: dict[str, Cell | str] = {}
    for scene in scenes():
        cells[scene.name] = await play(words, scene) if is_chat or scene.name != "resume" else NONE
    return version, cells


async def main(root: Path) -> None:
    """Print the table, a client a row."""
    print("| client | " + " | ".join(scene.title for scene in scenes()) + " |")  # noqa: T201
    print("|---" * (1 + len(scenes())) + "|")  # noqa: T201
    for client in CLIENTS:
        try:
            version, cells = await row(client, root)
        except CannotBeHad as exc:
            print(f"| {client.name} | left out: {exc} |", flush=True)  # noqa: T201
            continue
        told = " | ".join(str(cell).replace("|", "\\|") for cell in cells.values())
        print(f"| {client.name} {version} | {told} |", flush=True)  # noqa: T201


if __name__ == "__main__":
    if kept := os.environ.get("TESTS_CLIENTS"):
        asyncio.run(main(Path(kept)))
    else:
        with tempfile.TemporaryDirectory(prefix="fanlight-clients-") as made:
            asyncio.run(main(Path(made)))
