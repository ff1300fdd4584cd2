"""Install the clients into a directory of their own; what cannot be had is said in words."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
NODE_MAJOR = 22  # what v7 wants


class CannotBeHad(Exception):
    """A client's packages, or what runs them, cannot be had on this machine."""


@dataclass(frozen=True, slots=True)
class Client:
    """One client.

    Attributes:
        name: as in the table.
        script: in this directory; it drives the client.
        packages: as pip or npm names them; the first one's version is the client's.
    """

    name: str
    script: str
    packages: tuple[str, ...]

    @property
    def is_python(self) -> bool:
        return self.script.endswith(".py")


CLIENTS = (
    Client("AI SDK v6", "ai_sdk.mjs", ("ai@6", "@ai-sdk/react@3", "react@19")),
    Client("AI SDK v7", "ai_sdk.mjs", ("ai@7", "@ai-sdk/react@4", "react@19")),
    Client("OpenAI Python", "openai_python.py", ("openai>=3,<4",)),
    Client("OpenAI Node", "openai_node.mjs", ("openai@7",)),
    Client("LangChain", "langchain_client.py", ("langchain-openai>=1,<2",)),
    Client("AI SDK provider", "provider.mjs", ("@ai-sdk/openai-compatible@3", "ai@7")),
)
# Those whose schemas the golden files have to pass: the strictest release, the newest, and OpenAI's.
SCHEMAS = (
    Client("AI SDK 6.0.0", "golden.mjs", ("ai@6.0.0",)),
    Client("AI SDK v7", "golden.mjs", ("ai@7",)),
    Client("OpenAI Python", "golden_openai.py", ("openai>=3,<4",)),
)


def command(client: Client, root: Path) -> tuple[list[str], str]:
    """How a client is run, without its arguments, and its version; installs it where it is not yet.

    Raises:
        CannotBeHad: with the reason.
    """
    found = _found(client, root)
    if isinstance(found, CannotBeHad):
        raise found
    return found


@cache
def _found(client: Client, root: Path) -> tuple[list[str], str] | CannotBeHad:
    """Asked for once: where there is no registry each try would take as long as the first."""
    try:
        return _python(client, root) if client.is_python else _node(client, root)
    except CannotBeHad as exc:
        return exc


def _python(client: Client, root: Path) -> tuple[list[str], str]:
    home = root / "python"
    python = home / "bin" / "python"
    if not python.exists():
        _run([sys.executable, "-m", "venv", str(home)])
    quickly = ["--retries", "1", "--timeout", "15", "--disable-pip-version-check"]
    _run([str(python), "-m", "pip", "install", "-q", *quickly, *client.packages])
    package = client.packages[0].split(">")[0]
    version = _run([str(python), "-c", f"from importlib.metadata import version; print(version({package!r}))"])
    return [str(python), str(HERE / client.script)], version.strip()


def _node(client: Client, root: Path) -> tuple[list[str], str]:
    home = root / "+".join(client.packages).replace("/", "-")
    if not (home / "node_modules").exists():
        home.mkdir(parents=True, exist_ok=True)
        (home / "package.json").write_text('{"private": true, "type": "module"}')
        npm_install(home, *client.packages)
    script = shutil.copy(HERE / client.script, home)  # where its imports are found
    package = client.packages[0].rsplit("@", 1)[0]
    version = json.loads((home / "node_modules" / package / "package.json").read_text())["version"]
    return [str(node(root)), str(script)], version


def node(root: Path) -> Path:
    """A Node that is new enough: the machine's, or else one out of npm's package of that name.

    Raises:
        CannotBeHad: with the reason.
    """
    found = shutil.which("node")
    if found and int(_run([found, "--version"]).lstrip("v").split(".")[0]) >= NODE_MAJOR:
        return Path(found)
    home = root / "node"
    binary = home / "node_modules" / "node" / "bin" / "node"
    if not binary.exists():
        home.mkdir(parents=True, exist_ok=True)
        (home / "package.json").write_text('{"private": true}')
        npm_install(home, f"node@{NODE_MAJOR}")
    if not binary.exists():
        raise CannotBeHad("npm's package `node` brought no binary: its install script is not let run")
    return binary


def npm_install(home: Path, *packages: str) -> None:
    """Install packages, or those of the directory's own list.

    Raises:
        CannotBeHad: with the reason.
    """
    quickly = ["--fetch-retries=1", "--fetch-retry-mintimeout=500", "--fetch-timeout=15000"]
    quickly += ["--no-audit", "--no-fund", "--loglevel=error"]
    _run(["npm", "install", *quickly, *packages], home)


def _run(words: list[str], home: Path | None = None) -> str:
    try:
        done = subprocess.run(words, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CannotBeHad(f"{words[0]}: {type(exc).__name__}") from exc
    if done.returncode:
        why = " ".join((done.stderr or done.stdout).split())[-200:]
        raise CannotBeHad(f"{Path(words[0]).name}: {why}")
    return done.stdout
