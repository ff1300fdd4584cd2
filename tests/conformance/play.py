"""Hold a client in any language to the cases: ``python -m tests.conformance.play COMMAND [ARGUMENT ...]``."""

import asyncio
import logging
import sys

import structlog

from tests.conformance.clients import CASES, CommandClient, result


async def main(command: list[str]) -> int:
    """Play every case for clients; return how many failed."""
    client, failed = CommandClient(command), 0
    for case in CASES:
        why = await result(case, client)
        failed += why is not None
        told = "ok  " if why is None else "FAIL"
        sys.stdout.write(f"{told} {case.file}: {case.name}\n" + (f"     {why}\n" if why else ""))
    sys.stdout.write(f"{len(CASES) - failed} of {len(CASES)} cases\n")
    return failed


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sys.exit(min(1, asyncio.run(main(sys.argv[1:]))))
