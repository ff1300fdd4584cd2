"""Vectors of what callers bring: of texts, of images, of what was said and shown in media.

There are two spaces, and every vector names its own: sentences (``engine.sentences.weights``, 384
numbers of length 1) and pictures (``engine.facts.sketches``, 160 numbers from 0 to 1, which know
nothing of what is shown). They are never compared.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import ApiError, invalid
from engine.facts import stretches
from engine.facts.job import Probe, Sketch
from engine.facts.stretches import Span
from engine.sentences import weights
from engine.sentences.meaning import Meaning
from engine.store.indexed import Indexed
from engine.store.store import Store
from engine.work.intake import MAX_EMBED_BASE64_BYTES, Intake
from engine.work.media_query import MediaQuery, Source
from engine.work.pool import Pool
from engine.work.recorder import Recorder
from engine.work.vectors import Vectors

_IMAGE_BYTES = 5 * 1000**2
_IMAGE_SIDE = 128
_IMAGE_FORMATS = ("png", "jpeg", "mjpeg", "image2")
# A text longer than the model reads is embedded in pieces; none of so many words is.
_WORDS_A_PIECE = 100


@dataclass(frozen=True, slots=True)
class Embedded:
    """A vector, the space it lies in, and what it stands for; media have times, texts and images have not."""

    vector: list[float]
    model: str
    option: str | None = None
    scope: str | None = None
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True)
class MediaVectors:
    """The vectors of a file, its length in seconds, and why nobody listened, if nobody could."""

    rows: list[Embedded]
    duration: float
    unheard: str = ""


def models_of(rows: Iterable[Embedded]) -> str:
    """Name the models that made vectors."""
    return ", ".join(dict.fromkeys(row.model for row in rows)) or weights.MODEL


class Embedder:
    """Make vectors; ``Meaning.need`` is asked before."""

    def __init__(
        self, store: Store, intake: Intake, pool: Pool, recorder: Recorder, meaning: Meaning, vectors: Vectors
    ) -> None:
        self._records = store.records
        self._intake = intake
        self._pool = pool
        self._recorder = recorder
        self._vectors = vectors
        self.meaning = meaning

    async def text(self, name: str, text: str) -> Embedded:
        """Embed a text.

        Raises:
            ApiError: ``token_limit_exceeded``; it is longer than the model reads.
        """
        if await self.meaning.length(text) > weights.LONGEST:
            raise ApiError(
                "token_limit_exceeded",
                f"The {name} parameter is longer than the 254 pieces that {weights.MODEL} reads.",
            )
        [vector] = await self.meaning.vectors([text])
        return Embedded(vector.tolist(), weights.MODEL)

    async def image(self, path: Path) -> Embedded:
        """Embed an image: its colours and where they are.

        Raises:
            ApiError: it is none, or not within the API's limits.
        """
        await self._check_image(path)
        async with self._pool.probe() as worker:
            await worker.give(Sketch(path))
            sketch = bytes.fromhex((await worker.receive())["sketch"])
        [row] = await asyncio.to_thread(_looks, [sketch])
        return row

    async def media(self, path: Path, sha256: str | None, query: MediaQuery, longest_s: float) -> MediaVectors:
        """Embed what was said and shown in a file.

        Args:
            sha256: of a file that the library keeps: then its record is kept too.

        Raises:
            ApiError: the file cannot be used, or has not what is asked for.
        """
        await self._check_media(path, query, longest_s)
        if sha256 is None:
            kept = await self._recorder.measure(path, _nothing)
        else:
            kept = await self._recorder.record_of(sha256, _nothing)
        speech = kept["examinations"]["speech"]
        unheard = "" if speech["outcome"] == "made" else speech["reason"]
        return MediaVectors(await self._rows(kept, query), kept["clip"]["duration"], unheard)

    async def kept(self, row: Indexed, options: Sequence[str]) -> list[Embedded]:
        """Return the vectors that are kept of an indexed file: of each shot, of each utterance."""
        rows: list[Embedded] = []
        if "visual" in options:
            shots = sorted(await self._records.sketches_of([row.content]), key=lambda shot: shot.start)
            looks = await asyncio.to_thread(_looks, [shot.sketch for shot in shots])
            rows += [
                _placed(look, "visual", "clip", (one.start, one.end)) for one, look in zip(shots, looks, strict=True)
            ]
        if "transcription" in options:
            for one in await self._vectors.of(row.content):
                vector = await asyncio.to_thread(_floats, one.vector)
                rows.append(Embedded(vector, weights.MODEL, "transcription", "clip", one.start, one.end))
        return rows

    @asynccontextmanager
    async def lend(self, source: Source) -> AsyncIterator[tuple[Path, str | None]]:
        """Lend the file of a source, and its hash if the library keeps it.

        Raises:
            ApiError: there is none, or it cannot be used.
        """
        if source.kind == "asset_id":
            path = await self._intake.ready(source.value)
            yield path, path.name
        else:
            async with self._intake.passing(source.kind, source.value, MAX_EMBED_BASE64_BYTES) as path:
                yield path, None

    # -- media -------------------------------------------------------------

    async def _rows(self, kept: dict[str, Any], query: MediaQuery) -> list[Embedded]:
        spans = _spans(kept, query)
        rows: list[Embedded] = []
        if "visual" in query.options:
            packed = await asyncio.to_thread(stretches.sketches_in, kept, [span for _, span in spans])
            shown = [(scope, span, raw) for (scope, span), raw in zip(spans, packed, strict=True) if raw]
            looks = await asyncio.to_thread(_looks, [raw for _, _, raw in shown])
            rows += [_placed(look, "visual", scope, span) for (scope, span, _), look in zip(shown, looks, strict=True)]
        if "transcription" in query.options:
            words = await asyncio.to_thread(stretches.words_in, kept, [span for _, span in spans])
            for (scope, span), said in zip(spans, words, strict=True):
                if said:  # where nothing was understood there is nothing to embed
                    rows.append(_placed(await self._said(said), "transcription", scope, span))
        return rows

    async def _said(self, words: list[str]) -> Embedded:
        """Embed words however many: the mean of the vectors of equal pieces, brought to length 1."""
        pieces = -(-len(words) // _WORDS_A_PIECE)
        size = -(-len(words) // pieces)
        texts = [" ".join(words[at : at + size]) for at in range(0, len(words), size)]
        vectors = await self.meaning.vectors(texts)
        return Embedded(await asyncio.to_thread(_mean, vectors), weights.MODEL)

    async def _probed(self, path: Path) -> tuple[dict[str, Any], str]:
        async with self._pool.probe() as worker:
            await worker.give(Probe(path))
            message = await worker.receive()
        return message["clip"], message["format"]

    async def _check_media(self, path: Path, query: MediaQuery, longest_s: float) -> None:
        clip, _ = await self._probed(path)
        if clip["still_image"]:
            raise invalid(f"The {query.kind} parameter names an image.")
        if query.kind == "video" and clip["width"] is None:
            raise invalid("The video parameter names a file without a picture; embed it as audio.")
        if query.kind == "audio" and clip["audio_codec"] is None:
            raise invalid("The audio parameter names a file without a sound track.")
        if clip["duration"] > longest_s:
            raise ApiError("video_duration_too_long", f"The file is longer than {longest_s / 60:g} minutes.")
        if query.start >= clip["duration"]:
            raise invalid(f"The file ends at {clip['duration']:g} s, before what is asked for starts.")

    async def _check_image(self, path: Path) -> None:
        if (await asyncio.to_thread(path.stat)).st_size > _IMAGE_BYTES:
            raise invalid("The image is larger than 5 MB.")
        clip, form = await self._probed(path)
        if not clip["still_image"] or form.partition(",")[0].removesuffix("_pipe") not in _IMAGE_FORMATS:
            raise invalid("The image must be a JPEG or PNG file.")
        if min(clip["width"], clip["height"]) < _IMAGE_SIDE:
            raise invalid("The image must be at least 128x128 pixels.")


def _spans(kept: dict[str, Any], query: MediaQuery) -> list[tuple[str, Span]]:
    """Return what is to be embedded: pairs of a scope and its times."""
    start, end = query.start, min(query.end or kept["clip"]["duration"], kept["clip"]["duration"])
    spans: list[tuple[str, Span]] = []
    if "clip" in query.scopes:
        if query.strategy == "fixed":
            clips = stretches.fixed(start, end, query.length_s, query.drop_s)
        else:
            clips = stretches.by_shots(kept, start, end, query.length_s)
        spans += [("clip", span) for span in clips]
    if "asset" in query.scopes:
        spans.append(("asset", (start, end)))
    return spans


def _placed(row: Embedded, option: str, scope: str, span: Span) -> Embedded:
    return Embedded(row.vector, row.model, option, scope, round(span[0], 3), round(span[1], 3))


# What follows imports numbers, which are loaded for the first caller who needs them.


def _looks(packed: list[bytes]) -> list[Embedded]:
    from engine.facts import sketches

    return [Embedded(sketches.mean_of(raw), sketches.MODEL) for raw in packed]


def _floats(raw: bytes) -> list[float]:
    import numpy as np

    return [float(one) for one in np.frombuffer(raw, np.float32)]


def _mean(vectors: Any) -> list[float]:
    import numpy as np

    mean = vectors.mean(axis=0)
    return [float(one) for one in mean / np.linalg.norm(mean)]


async def _nothing(_: str) -> None:
    return None
