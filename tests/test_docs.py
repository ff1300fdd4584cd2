"""What is written says what is there."""

import importlib.machinery
import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_page_of_settings_is_current():
    path = str(ROOT / "scripts" / "settings-page")
    loader = importlib.machinery.SourceFileLoader("settings_page", path)
    spec = importlib.util.spec_from_loader("settings_page", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == module.page()


def test_no_path_of_a_machine_and_no_registry_is_named():
    banned = ("/wo" + "rk/", "/ro" + "ot/.", "pypi" + ".org", "files.python" + "hosted", "registry.npm" + "js")
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if path.is_file() and not parts[0].startswith(".") and path.suffix in (".py", ".md", ".toml", ".js", ".c", ""):
            text = path.read_text(encoding="utf-8", errors="replace")
            assert not [word for word in banned if word in text], path
