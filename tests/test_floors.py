"""The house's arrows point down only, and those of the engine's rooms: read every import and say so."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What each floor may import from this house, besides itself. The longest
# matching prefix names a module's floor; `service` alone is the composition root.
TEXT = {"protocol", "protocol.json"}
PROTOCOL = TEXT | {"protocol.schema", "protocol.views", "protocol.captions", "protocol.upstream", "protocol.wire"}
MAY_IMPORT = {
    # The root: errors, NDJSON, pointers. Its rooms know it, and it knows none of them.
    "protocol": set[str](),
    "protocol.json": {"protocol"},
    "protocol.schema": TEXT,
    "protocol.views": TEXT | {"protocol.schema"},
    "protocol.captions": TEXT | {"protocol.views"},
    "protocol.dialects": TEXT | {"protocol.captions"},
    "protocol.upstream": TEXT,
    "protocol.wire": TEXT,
    "config": set[str](),
    "service.watch": PROTOCOL,
    "service.upstream": PROTOCOL,
    "service.store": PROTOCOL | {"service.watch"},
    "service.access": PROTOCOL | {"service.store"},
    "service.hub": PROTOCOL | {"service.upstream", "service.store", "service.watch"},
    "service.web": PROTOCOL
    | {"protocol.dialects", "service.access", "service.hub", "service.upstream", "service.store", "service.watch"},
    "service": PROTOCOL
    | {
        "protocol.dialects",
        "service.web",
        "service.access",
        "service.hub",
        "service.upstream",
        "service.store",
        "service.watch",
        "config",
    },
    "fanlight": PROTOCOL,
    # `fanlight serve` and `fanlight config` are the composition root's own doors.
    "fanlight.__main__": PROTOCOL | {"fanlight", "service", "config"},
}
# The engine's rooms. What none of them knows stands on ground that all of them may.
GROUND = {"engine.errors", "engine.weights"}
FACTS = GROUND | {"engine.facts"}
SENTENCES = FACTS | {"engine.sentences"}
RECOGNISE = FACTS | {"engine.confine", "engine.recognise"}
TELL = SENTENCES | {"engine.senses", "engine.tell"}
WORK = TELL | {"engine.store", "engine.vlm", "engine.work"}
ROOMS = {
    "engine.errors": set[str](),
    "engine.senses": {"engine.weights"},
    "engine.weights": set[str](),
    "engine.models": {"engine.lite0", "engine.nanodet", "engine.weights"},
    "engine.lite0": {"engine.onnx_file"},
    "engine.nanodet": {"engine.onnx_file"},
    "engine.onnx_file": set[str](),
    "engine.confine": set[str](),
    "engine.sample": set[str](),
    "engine.facts": GROUND,
    "engine.store": FACTS,
    "engine.sentences": FACTS,
    "engine.vlm": FACTS | {"engine.vlm"},
    "engine.recognise": RECOGNISE,
    "engine.measure": RECOGNISE,
    "engine.tell": TELL,
    "engine.worker": RECOGNISE | {"engine.measure", "engine.senses", "engine.tell", "engine.worker"},
    "engine.work": WORK,
    "engine.api": WORK,
    # The composition root, and its door.
    "engine.app": WORK | {"engine.api"},
    "engine.__main__": WORK | {"engine.app", "engine.recognise"},
    "engine": set[str](),  # the package itself, which holds nothing
}
MAY_IMPORT |= ROOMS
# What serves people; what is confined with a stranger's file must not reach it.
SERVING = {"engine.store", "engine.work", "engine.api", "engine.app", "engine.__main__"}
# Where a confined process begins.
CONFINED = (
    "engine.worker.__main__",
    "engine.recognise.listener",
    "engine.recognise.reader",
    "engine.recognise.spotter",
)
HOUSE = {"protocol", "config", "engine", "service", "fanlight"}


def floor_of(module: str) -> str:
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (prefix := ".".join(parts[:length])) in MAY_IMPORT:
            return prefix
    raise AssertionError(f"{module} stands on no floor")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the floor"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in found if name.split(".")[0] in HOUSE} - {"engine"}


def path_of(module: str) -> Path | None:
    """Return the file of a module; None for a name that is in one."""
    path = ROOT.joinpath(*module.split("."))
    return next((one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()), None)


def reached_from(module: str) -> set[str]:
    """Return all modules of the house that a module imports, itself or through others."""
    reached, waiting = set[str](), [module]
    while waiting:
        name = waiting.pop()
        path = path_of(name)
        if path is None or name in reached:
            continue
        reached.add(name)
        waiting += imports_of(path)
        waiting.append(name.rpartition(".")[0] or name)  # importing a module runs its package, too
    return reached


def modules() -> list[Path]:
    return sorted(path for top in HOUSE for path in (ROOT / top).rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_its_own_floor_or_below(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    floor = floor_of(module)
    upward = {name for name in imports_of(path) if floor_of(name) not in MAY_IMPORT[floor] | {floor}}
    assert not upward, f"{module} ({floor}) reaches up to {sorted(upward)}"


def test_an_upward_arrow_is_seen(tmp_path: Path) -> None:
    offender = tmp_path / "lines.py"
    offender.write_text("from service.hub import streams\n", encoding="utf-8")
    assert {floor_of(name) for name in imports_of(offender)} == {"service.hub"}
    assert "service.hub" not in MAY_IMPORT["protocol"]


def test_an_arrow_is_seen_wherever_it_is_drawn(tmp_path: Path) -> None:
    offender = tmp_path / "answer.py"
    offender.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from engine.store.library import Library\n"
        "def late():\n    from engine.work import pool\n",
        encoding="utf-8",
    )
    assert {floor_of(name) for name in imports_of(offender)} == {"engine.store", "engine.work"}


@pytest.mark.parametrize("start", CONFINED)
def test_nothing_that_runs_confined_reaches_what_serves(start: str) -> None:
    reached = reached_from(start)
    assert start in reached
    assert not {name for name in reached if floor_of(name) in SERVING}


def test_every_module_of_the_worker_is_looked_through() -> None:
    own = {path.relative_to(ROOT).with_suffix("") for path in (ROOT / "engine" / "worker").glob("*.py")}
    reached = set[str]().union(*(reached_from(".".join(path.parts)) for path in own))
    assert {"engine.worker.answer", "engine.tell.narrate", "engine.measure.examine"} <= reached
    assert not {name for name in reached if floor_of(name) in SERVING}


def test_what_serves_is_reached_from_the_door() -> None:
    assert {floor_of(name) for name in reached_from("engine.__main__")} >= SERVING


def test_the_tables_name_only_what_exists() -> None:
    named = set(MAY_IMPORT).union(*MAY_IMPORT.values(), SERVING, CONFINED)
    assert not {name for name in named if path_of(name) is None}


def test_only_the_store_speaks_sql() -> None:
    for path in (ROOT / "engine").rglob("*.py"):
        room = floor_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        if room in SERVING - {"engine.store"}:
            text = path.read_text(encoding="utf-8")
            assert "sqlite3" not in text, path
            words = re.search(r"\b(?:SELECT|INSERT|UPDATE|DELETE)\b", text)
            assert words is None, f"{path}: {words}"


@pytest.mark.parametrize("tops", [("protocol", "service", "config")])
def test_no_two_classes_share_a_name(tops: tuple[str, ...]) -> None:
    places: dict[str, list[str]] = {}
    for path in (path for top in tops for path in (ROOT / top).rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_protocol_knows_no_socket_task_or_clock() -> None:
    banned = {"asyncio", "socket", "time", "threading", "aiohttp", "datetime", "selectors", "ssl"}
    for path in (ROOT / "protocol").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not names & banned, f"{path}: {names & banned}"
        assert not any(isinstance(n, ast.Await | ast.AsyncFunctionDef) for n in ast.walk(tree)), path
