"""The house's arrows point down only: read every import and say so."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What each floor may import from this house, besides itself. The longest
# matching prefix names a module's floor; `service` alone is the composition root.
MAY_IMPORT = {
    "protocol": set[str](),
    "config": set[str](),
    "engine": set[str](),
    "service.store": {"protocol"},
    "service.upstream": {"protocol"},
    "service.hub": {"service.upstream", "service.store", "protocol"},
    "service.web": {"service.hub", "service.upstream", "service.store", "protocol"},
    "service": {"service.web", "service.hub", "service.upstream", "service.store", "protocol", "config"},
    "fanlight": {"protocol"},
    # `fanlight serve` and `fanlight config` are the composition root's own doors.
    "fanlight.__main__": {"fanlight", "protocol", "service", "config"},
}
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
    return {name for name in found if name.split(".")[0] in HOUSE}


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


def test_protocol_knows_no_socket_task_or_clock() -> None:
    banned = {"asyncio", "socket", "time", "threading", "aiohttp", "datetime", "selectors", "ssl"}
    for path in (ROOT / "protocol").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        assert not names & banned, f"{path}: {names & banned}"
        assert not any(isinstance(n, ast.Await | ast.AsyncFunctionDef) for n in ast.walk(tree)), path
