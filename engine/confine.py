"""Limit what a process that reads untrusted bytes may do.

Memory, CPU time and written files are bounded by the kernel's limits. On Linux a
seccomp filter forbids sockets and the starting of programs: an unprivileged process may
set one for itself, and cannot undo it. Elsewhere only the limits hold.
"""

import ctypes
import math
import os
import platform
import resource
import struct
import sys

WORKER_MEMORY = 2 * 1024**3
LISTENER_MEMORY = 1024**3
READER_MEMORY = 1024**3
SPOTTER_MEMORY = 1024**3
_MAX_CPU_S = 8 * 3600.0

# x86_64 and aarch64: socket, connect, execve, execveat, io_uring_setup (which can do
# all that by itself), ptrace.
_FORBIDDEN = {
    "x86_64": (0xC000003E, 317, (41, 42, 59, 322, 425, 101)),
    "aarch64": (0xC00000B7, 277, (198, 203, 221, 281, 425, 117)),
}
_EPERM = 1
_ALLOW, _DENY, _KILL = 0x7FFF0000, 0x00050000 | _EPERM, 0x80000000
_LOAD, _EQUAL, _ABOVE, _RETURN = 0x20, 0x15, 0x35, 0x06
_NO_NEW_PRIVS = 38
_FILTER_MODE, _ALL_THREADS = 1, 1


def limit(memory_bytes: int, cpu_s: int | None) -> None:
    """Bound this process, for good.

    Args:
        memory_bytes: writable memory of its own (not mapped files).
        cpu_s: seconds of CPU time after which the kernel kills it; None for no bound.
    """
    _lower(resource.RLIMIT_DATA, memory_bytes)
    _lower(resource.RLIMIT_FSIZE, 0)  # it writes to its pipe only
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, 64)
    if cpu_s is not None:
        _lower(resource.RLIMIT_CPU, cpu_s)
    forbid_network()


def allow_cpu(seconds: float) -> None:
    """Bound the CPU time of this process; it may be raised again, up to what a whole job may take."""
    limit = int(min(_MAX_CPU_S, math.ceil(seconds)))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(kind, (value, value))
    except (ValueError, OSError):
        if sys.platform == "linux":
            raise  # macOS knows the names, but not every limit


def forbid_network() -> bool:
    """Forbid sockets and exec in all threads of this process; return whether that worked."""
    if sys.platform != "linux" or platform.machine() not in _FORBIDDEN:
        return False
    architecture, seccomp, calls = _FORBIDDEN[platform.machine()]
    program = _filter(architecture, calls)
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)), struct.calcsize("HxxxxxxP")
    )
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(libc.syscall(seccomp, _FILTER_MODE, _ALL_THREADS, header) == 0)


def _filter(architecture: int, calls: tuple[int, ...]) -> bytes:
    """Assemble the BPF program: another architecture is killed, the named calls get EPERM."""

    def op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)

    program = [op(_LOAD, 4), op(_EQUAL, architecture, 1, 0), op(_RETURN, _KILL), op(_LOAD, 0)]
    # Numbers of the x32 table would name the same calls once more.
    program += [op(_ABOVE, 0x40000000, len(calls) + 1, 0)]
    for index, call in enumerate(calls):
        program.append(op(_EQUAL, call, len(calls) - index, 0))
    return b"".join([*program, op(_RETURN, _ALLOW), op(_RETURN, _DENY)])


def be_nice() -> None:
    """Lower the priority of this process, so that the server comes first."""
    os.nice(10)
