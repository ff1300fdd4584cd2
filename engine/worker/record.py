"""Measure all of a media file, for the library to keep. Runs in a worker."""

import base64
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.facts.facts import KINDS, Heard, Read, Seen, Spotted
from engine.facts.kept import to_wire
from engine.measure.examine import Order, examine
from engine.measure.media import MAX_ASSET_DURATION_S, check_limits, read_clip
from engine.measure.opening import open_media
from engine.measure.sketch import Sketcher
from engine.worker.answer import Recognisers, examinations_of

_PART_S = 60.0


def record(path: Path, recognisers: Recognisers) -> Iterator[dict[str, Any]]:
    """Measure a whole file; yields messages for the engine: the head, facts as they come, sketches, the end.

    Raises:
        ApiError: the file cannot be used.
    """
    with open_media(path) as container:
        clip = read_clip(container)
        check_limits(clip, MAX_ASSET_DURATION_S)
        examinations = examinations_of(clip, frozenset(KINDS))
        sketcher = Sketcher()
        order = Order(
            picture=clip.has_picture,
            sound=clip.has_sound,
            **recognisers.asked(examinations),
            part_s=_PART_S,
            sketcher=sketcher,
        )
        yield {"head": {"clip": asdict(clip), "examinations": {k: asdict(e) for k, e in examinations.items()}}}
        for fact in examine(container, clip, order):
            if not isinstance(fact, Seen | Heard | Read | Spotted):
                yield {"fact": to_wire(fact)}
        for at, sketch in sketcher.taken:
            yield {"sketch": [at, base64.b64encode(sketch).decode()]}
        yield {"end": {"damaged_packets": order.faults.packets}}
