"""How many upstream events are read in a second, against orjson alone on the same lines.

    python -m bench.parsing

The bytes come in pieces of 16 KiB, and one event at a time; the best of several runs, processor time.
"""

import time
from collections.abc import Callable

import orjson

from protocol.upstream.decoder import Decoder

EVENTS = 200_000
START = b'{"event_type":"stream_start"}\n'
PLAIN = [b'{"event_type":"text_generation","text":" word%d"}\n' % n for n in range(EVENTS)]
QUOTED = [b'{"event_type":"text_generation","text":"\\"word%d\\":"}\n' % n for n in range(EVENTS)]


def rate(work: Callable[[], None]) -> float:
    """Millions of events a second, at best."""
    best = float("inf")
    for _ in range(7):
        before = time.process_time()
        work()
        best = min(best, time.process_time() - before)
    return EVENTS / best / 1e6


def decode(pieces: list[bytes]) -> Callable[[], None]:
    """Reading those pieces, behind a start."""

    def work() -> None:
        decoder = Decoder(1 << 20)
        decoder.feed(START)
        for piece in pieces:
            _, error = decoder.feed(piece)
            assert error is None

    return work


def loads(lines: list[bytes]) -> Callable[[], None]:
    """What orjson needs for each line alone."""

    def work() -> None:
        for line in lines:
            orjson.loads(line)

    return work


def main() -> None:
    print("| million events a second | 16 KiB pieces | one at a time | orjson alone, line by line |")
    print("|---|---:|---:|---:|")
    for name, lines in (("words", PLAIN), ("escaped quotes in each", QUOTED)):
        whole = b"".join(lines)
        pieces = [whole[at : at + 16384] for at in range(0, len(whole), 16384)]
        print(f"| {name} | {rate(decode(pieces)):.2f} | {rate(decode(lines)):.2f} | {rate(loads(lines)):.2f} |")


if __name__ == "__main__":
    main()
