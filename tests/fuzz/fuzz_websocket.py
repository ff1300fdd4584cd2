"""The WebSocket reader against the parser of `websockets`, for as long as wanted; not part of the ordinary run.

    python -m tests.fuzz.fuzz_websocket SECONDS

The cases and what must hold are those of `tests/protocol/test_websocket_peer.py`, new ones each time.
"""

import sys
import time
from collections import Counter

from hypothesis import given, settings

from tests.protocol.test_websocket_peer import LIMITS, check, wires


def look_for(seconds: float) -> Counter[str]:
    """Compare for that long; return how many cases were the same, or differed on purpose and in what."""
    seen: Counter[str] = Counter()

    @settings(max_examples=2_000, database=None, deadline=None, derandomize=False)
    @given(LIMITS, wires())
    def look(limit: int, pieces: list[bytes]) -> None:
        seen[check(limit, pieces) or "the same"] += 1

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        look()
    return seen


if __name__ == "__main__":
    counts = look_for(float(sys.argv[1]))
    counts["cases"] = sum(counts.values())
    sys.stdout.writelines(f"{count:>9} {name}\n" for name, count in counts.most_common())
