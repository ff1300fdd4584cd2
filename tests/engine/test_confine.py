"""What a confined process can no longer do; tried in processes of its own."""

import platform
import subprocess
import sys

import pytest

from tests.engine.conftest import ROOT

linux = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="the filter is Linux's"
)


def confined(code: str) -> str:
    """Run code in a process that has confined itself; return what it printed."""
    program = f"from engine import confine\nconfine.limit(400 * 1024**2, 60)\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@linux
@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX"])
def test_no_socket_can_be_made(family: str) -> None:
    assert "PermissionError" in confined(f"import socket; socket.socket(socket.{family})")


@linux
def test_no_program_can_be_started() -> None:
    assert "PermissionError" in confined("import os; os.execv('/bin/sh', ['sh'])")


@linux
def test_threads_that_were_there_before_are_confined_too() -> None:
    program = (
        "import threading, socket\n"
        "go = threading.Event()\n"
        "def later():\n"
        "    go.wait()\n"
        "    try: socket.socket()\n"
        "    except PermissionError: print('refused')\n"
        "thread = threading.Thread(target=later); thread.start()\n"
        "from engine import confine\n"
        "confine.forbid_network(); go.set(); thread.join()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "refused"


@linux
def test_memory_is_bounded() -> None:
    assert "MemoryError" in confined("bytearray(600 * 1024**2)")


def test_nothing_can_be_written(tmp_path: object) -> None:
    path = f"{tmp_path}/a"
    assert "File too large" in confined(f"f = open({path!r}, 'wb', buffering=0); f.write(b'x')")


def test_files_can_still_be_read_and_threads_be_started() -> None:
    code = "import threading; t = threading.Thread(target=lambda: print(len(open('/etc/passwd').read()) > 0)); t.start(); t.join()"
    assert confined(code) == "True"
