"""What judging JSON while it grows costs, against parsing it again at every fragment.

    pip install jiter ijson        # the others; those that are missing are left out
    python -m bench.structured [--svg picture.svg] [--quick]

The same caption document, in fragments of four characters, is given to each contender; what it has to do at
every fragment is have the document so far ready. Times are processor time, the best of several runs.
"""

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from protocol.json.push import JsonPush
from protocol.schema.admitted import admit
from protocol.schema.early import EarlyCheck
from protocol.schema.verdict import judge
from protocol.views.elements import ElementProjection
from protocol.views.patch import PatchProjection

WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "while",
    "our",
    "camera",
    "pans",
    "slowly",
    "across",
    "the",
    "harbour",
]
SCHEMA = {
    "type": "object",
    "required": ["segments"],
    "properties": {"segments": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/segment"}}},
    "$defs": {
        "segment": {
            "type": "object",
            "required": ["start", "end", "text"],
            "additionalProperties": False,
            "properties": {
                "start": {"type": "number", "minimum": 0},
                "end": {"type": "number", "minimum": 0},
                "text": {"type": "string"},
            },
        }
    },
}
SIZES_KB = (5, 20, 90, 180)
FRAGMENT = 4


def document(kilobytes: int) -> str:
    """A caption answer of about that size; the same each time."""
    dice = random.Random(7)
    segments: list[dict[str, Any]] = []
    length = 0
    while length < kilobytes * 1000:
        start = round(2.3 * len(segments), 2)
        text = " ".join(dice.choice(WORDS) for _ in range(dice.randint(5, 14))).capitalize() + "."
        segments.append({"start": start, "end": round(start + 2.1, 2), "text": text})
        length += len(text) + 40
    return json.dumps({"segments": segments}, separators=(",", ":"))


class Heard:
    """A listener that hears every event and does nothing: the cost of the events themselves."""

    def began(self, kind: str, at: int) -> None: ...
    def named(self, name: str, at: int) -> None: ...
    def grew(self, text: str, at: int) -> None: ...
    def more(self, at: int) -> None: ...
    def closed(self, value: Any, at: int) -> None: ...
    def withdrawn(self, at: int) -> None: ...


def push(fragments: list[str]) -> None:
    parser = JsonPush(Heard())
    for fragment in fragments:
        parser.feed(fragment)
    parser.close()
    assert parser.has_document


def push_and_check(fragments: list[str]) -> None:
    check = EarlyCheck(admit(SCHEMA))
    for fragment in fragments:
        assert check.feed(fragment) is None


def elements(fragments: list[str]) -> None:
    view = ElementProjection(admit(SCHEMA))
    for fragment in fragments:
        view.feed(fragment)


def patches(fragments: list[str]) -> None:
    view = PatchProjection()
    for fragment in fragments:
        view.feed(fragment)


def again_by_pydantic(fragments: list[str]) -> None:
    from pydantic_core import from_json

    text = ""
    for fragment in fragments:
        text += fragment
        from_json(text, allow_partial="trailing-strings")


def again_by_jiter(fragments: list[str]) -> None:
    from jiter import from_json

    text = b""
    for fragment in fragments:
        text += fragment.encode()
        from_json(text, partial_mode="trailing-strings")


def push_by_ijson(fragments: list[str]) -> None:
    import ijson

    events = ijson.sendable_list()
    parser = ijson.parse_coro(events)
    for fragment in fragments:
        parser.send(fragment.encode())
        del events[:]
    parser.close()


class Contender(NamedTuple):
    """Who runs, what for, and in which colour."""

    name: str
    run: Callable[[list[str]], None]
    colour: str
    is_ours: bool = True


CONTENDERS = [
    Contender("push parser, path events", push, "#1b7837"),
    Contender("… and early check", push_and_check, "#5aae61"),
    Contender("view `json`, elements judged", elements, "#2166ac"),
    Contender("view `patch`", patches, "#67a9cf"),
    Contender("ijson push (closed values only)", push_by_ijson, "#999999", False),
    Contender("jiter, parsed again", again_by_jiter, "#d6604d", False),
    Contender("pydantic_core, parsed again", again_by_pydantic, "#b2182b", False),
]


def best_s(run: Callable[[], None], rounds: int) -> float:
    def once() -> float:
        begin = time.process_time()
        run()
        return time.process_time() - begin

    return min(once() for _ in range(rounds))


def measured(contender: Contender, rounds: int, sizes: tuple[int, ...]) -> list[float] | None:
    """Seconds for each size; None when the contender is not installed."""
    times: list[float] = []
    for size in sizes:
        text = document(size)
        fragments = [text[place : place + FRAGMENT] for place in range(0, len(text), FRAGMENT)]
        few = 1 if times and times[-1] > 0.5 else rounds
        try:
            times.append(best_s(lambda: contender.run(fragments), few))  # noqa: B023
        except ImportError:
            return None
    return times


def fragments_of(size: int) -> int:
    return math.ceil(len(document(size)) / FRAGMENT)


def table(results: dict[str, list[float]]) -> Iterator[str]:
    """The costs as Markdown: milliseconds for the document, and microseconds a fragment."""
    yield (
        "| milliseconds (µs a fragment) | "
        + " | ".join(f"{size} KB" for size in SIZES_KB)
        + " | twice 90 KB | of ours |"
    )
    yield "|---" * (len(SIZES_KB) + 3) + "|"
    ours = results[CONTENDERS[0].name][-1]
    for name, times in results.items():
        cells = [
            f"{spent * 1e3:,.1f} ({spent * 1e6 / fragments_of(size):.2f})"
            for size, spent in zip(SIZES_KB, times, strict=True)
        ]
        growth = times[-1] / times[-2] * fragments_of(90) * 2 / fragments_of(180)
        yield f"| {name} | " + " | ".join(cells) + f" | × {growth:.2f} | × {times[-1] / ours:.1f} |"


def verdicts(rounds: int) -> Iterator[str]:
    """What the final verdict costs on 1,600 cues."""
    text = document(180)
    cues = json.loads(text)["segments"][:1600]
    whole = json.dumps({"segments": cues}).encode()
    broken = json.dumps({"segments": [*cues[:-1], {"start": "x"}]}).encode()
    schema = admit(SCHEMA)
    yield "| final verdict | ms |"
    yield "|---|---|"
    for name, encoded in (("1,600 cues that fit", whole), ("1,600 cues, the last one does not fit", broken)):
        spent = best_s(lambda: judge(encoded, schema, "stop"), rounds)  # noqa: B023
        yield f"| {name} ({len(encoded):,} bytes) | {spent * 1e3:.2f} |"


def picture(results: dict[str, list[float]]) -> str:
    """Time against size, both logarithmic, as SVG."""
    width, height, left, top, right, bottom = 760, 420, 70, 20, 250, 50
    low = math.floor(math.log10(min(min(times) for times in results.values())))
    high = math.ceil(math.log10(max(max(times) for times in results.values())))
    first, last = math.log10(SIZES_KB[0]), math.log10(SIZES_KB[-1])

    def x(size: float) -> float:
        return left + (math.log10(size) - first) / (last - first) * (width - left - right)

    def y(seconds: float) -> float:
        return height - bottom - (math.log10(seconds) - low) / (high - low) * (height - top - bottom)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for power in range(low, high + 1):
        line = y(10**power)
        label = f"{10**power * 1000:g} ms"
        parts.append(f'<path d="M{left} {line:.1f}H{width - right}" stroke="#dddddd"/>')
        parts.append(f'<text x="{left - 8}" y="{line + 4:.1f}" text-anchor="end" fill="#444444">{label}</text>')
    for size in SIZES_KB:
        parts.append(
            f'<text x="{x(size):.1f}" y="{height - bottom + 18}" text-anchor="middle" fill="#444444">{size} KB</text>'
        )
    labels = sorted((y(times[-1]), name) for name, times in results.items())
    places: dict[str, float] = {}
    for line, name in labels:
        places[name] = max(line, max(places.values(), default=-99) + 15)
    for contender in CONTENDERS:
        if (times := results.get(contender.name)) is None:
            continue
        points = " ".join(f"{x(size):.1f},{y(spent):.1f}" for size, spent in zip(SIZES_KB, times, strict=True))
        dash = "" if contender.is_ours else ' stroke-dasharray="5 3"'
        parts.append(f'<polyline points="{points}" fill="none" stroke="{contender.colour}" stroke-width="2"{dash}/>')
        parts.append(
            f'<text x="{width - right + 8}" y="{places[contender.name] + 4:.1f}" fill="{contender.colour}">'
            f"{contender.name.replace('`', '')}</text>"
        )
    parts.append(
        f'<text x="{(left + width - right) / 2}" y="{height - 10}" text-anchor="middle" fill="#444444">'
        "document, in fragments of four characters; processor time</text></svg>"
    )
    return "\n".join(parts) + "\n"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--svg", type=Path, help="write the picture of time against size there")
    options.add_argument("--quick", action="store_true", help="one round, and no parsing again")
    given = options.parse_args()
    rounds = 1 if given.quick else 25
    results: dict[str, list[float]] = {}
    for contender in CONTENDERS:
        if given.quick and not contender.is_ours:
            continue
        times = measured(contender, rounds, SIZES_KB)
        if times is None:
            print(f"{contender.name}: not installed, left out", file=sys.stderr)
        else:
            results[contender.name] = times
    print("\n".join(table(results)))
    print()
    print("\n".join(verdicts(rounds)))
    if given.svg:
        given.svg.write_text(picture(results), encoding="utf-8")


if __name__ == "__main__":
    main()
