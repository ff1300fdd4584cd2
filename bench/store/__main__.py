"""What keeping costs: the stores beside each other in one run, and the figures of the contract.

    python -m bench.store [--only receipt,deliveries] [--rounds 5] [--streams 100000] [--picture FILE]

Loopback only, in front of an upstream of the bench's own; Redis is started by the bench on a Unix
socket with `appendonly yes`. The service is on one core, the load and Redis on the other, but for
`commands`, whose two nodes want more than one. The contenders of a round follow each other, or run
at the same time: a noisy minute hits all. Ratios are taken within a round.
"""

import argparse
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

from bench.pictures import bars
from bench.store import commands, ready, receipt, spending
from bench.store.figures import Goal, Measure, table, verdicts


def picture(path: Path, measures: list[Measure]) -> None:
    """Publish to receipt by store, and at another node."""
    names = {receipt.OTHER: "other node"}
    groups = {
        measure.name.rpartition(" ")[2]: {names.get(name, name): measure.median(name) for name in measure.seen}
        for measure in measures
    }
    bars(path, "Publish to receipt by one reader, and by one at another node (redis; less is better)", groups, "ms")


async def main() -> None:
    """Measure what was asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="receipt,deliveries,processes,commands,ready")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=100_000, help="kept ones, for `ready`")
    parser.add_argument("--picture", type=Path, help="draw `receipt` into this SVG file")
    asked = parser.parse_args()
    known: dict[str, Callable[[], Coroutine[Any, Any, tuple[list[Measure], list[Goal]]]]] = {
        "receipt": lambda: receipt.measure(asked.rounds),
        "deliveries": lambda: spending.deliveries(asked.rounds),
        "processes": lambda: spending.processes(asked.rounds),
        "commands": lambda: commands.measure(asked.rounds),
        "ready": lambda: ready.measure(asked.rounds, asked.streams),
    }
    goals: list[Goal] = []
    for name in asked.only.split(","):
        measures, reached = await known[name]()
        table(measures)
        print(flush=True)
        goals += reached
        if name == "receipt" and asked.picture:
            picture(asked.picture, measures)
    verdicts(goals)


if __name__ == "__main__":
    uvloop.run(main())
