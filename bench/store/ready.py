"""From the start of a process to ready, with many kept streams of 40 KiB."""

import tempfile
import time
from pathlib import Path

from bench.store.figures import Goal, Measure
from bench.store.rig import node
from service.store.contract import Begun, Ended, Grown
from service.store.sqlite import SqliteStore


async def fill(path: Path, streams: int) -> None:
    """Keep that many ended streams."""
    kept = SqliteStore(path)
    await kept.open()
    block, meta = b"x" * 4000, b"{}" * 200
    for start in range(0, streams, 500):
        changes = [
            change
            for number in range(start, min(streams, start + 500))
            for change in (
                Begun(f"st_{number}", "t", 1.0, meta, None),
                *(Grown(f"st_{number}", block) for _ in range(10)),
                Ended(f"st_{number}", b"{}", "completed", 1.0, 4e9, b"i%d" % number),
            )
        ]
        await kept.commit(changes)
    await kept.close()


async def measure(rounds: int, streams: int) -> tuple[list[Measure], list[Goal]]:
    """Row 6 of the contract's figures."""
    with tempfile.TemporaryDirectory(prefix="bench.") as folder:
        path = Path(folder) / "streams.db"
        await fill(path, streams)
        size = sum(part.stat().st_size for part in Path(folder).iterdir()) / 2**30
        seen = Measure(f"start to ready, {streams:,} kept streams ({size:.1f} GiB)", "s")
        for _ in range(rounds):
            for name in ("memory", "sqlite"):
                began = time.perf_counter()
                async with node({"FANLIGHT_STORE": "memory" if name == "memory" else f"sqlite:{path}"}, 9):
                    seen.add(name, time.perf_counter() - began)
    return [seen], [Goal(f"start to ready with {streams:,} kept streams in sqlite, s", 2, 0.5, seen.seen["sqlite"])]
