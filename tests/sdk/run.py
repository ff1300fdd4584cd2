"""Drive every method of the API with the official SDK, in one workflow, against the service as a user starts it.

    .venv/bin/python -m tests.sdk.run [--without-weights]

Prints the table of docs/sdk.md. Each row says what was checked of the meaning of an answer;
the exit code is 1 when a check failed, or a method was not called. Another version of the
SDK is driven where PYTHONPATH puts it first.
"""

import argparse
import itertools
import json
import math
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from twelvelabs import TwelveLabs
from twelvelabs.types import (
    AudioInputRequest,
    CompletedChunk,
    MediaSource,
    TextInputRequest,
    VideoContext_AssetId,
    VideoContext_Url,
    VideoInputRequest,
)

try:
    from twelvelabs.types import ResponseFormat
except ImportError:  # its name since 1.3
    from twelvelabs.types import SyncResponseFormat as ResponseFormat

from config.settings import default_data_dir
from engine.work.tokens import Tokens
from tests.sdk import clips, table
from tests.sdk.table import Steps, Wire, refused, until

SURFACE = clips.ROOT / "tests" / "engine" / "surface.json"
UNKNOWN = "0" * 24
MARENGO = "marengo3.0"
MODELS: Any = [{"model_name": name, "model_options": ["visual", "audio"]} for name in (MARENGO, "pegasus1.2")]
FINAL = ("ready", "failed")
_CHUNK = 8 * 1024**2


def close(one: float | None, other: float, by: float = 0.25) -> bool:
    return one is not None and abs(one - other) <= by


def cosine(one: list[float], other: list[float]) -> float:
    return math.sumprod(one, other) if hasattr(math, "sumprod") else sum(a * b for a, b in zip(one, other, strict=True))


class Workflow:
    """One customer's day: bring clips in, index, ask, search, embed, keep faces, tidy up."""

    def __init__(self, steps: Steps, film: clips.Clips, base: str, site: str, data: Path, weights: bool) -> None:
        self.steps, self.step, self.client = steps, steps.step, steps.client
        self.clips, self.base, self.site, self.data, self.weights = film, base, site, data, weights
        self.latest = not hasattr(steps.client.tasks, "transfers")

    def run(self) -> None:
        for part in (self.assets, self.uploads, self.indexes, self.indexed, self.videos, self.tasks, self.transfers,
                     self.analyses, self.analysis_tasks, self.search, self.embeddings, self.embedding_tasks,
                     self.entities, self.helpers, self.newer, self.farewell):  # fmt: skip
            try:
                part()
            except Exception as exc:  # outside of a step: the steps after it are missing, and that fails the run
                print(f"{part.__name__} broke off: {exc!r}", file=sys.stderr)

    def past_the_end(self, call: Any, *idents: str) -> None:
        """Require that a page past the end is 200 and empty, and that a page of 51 is refused."""
        assert not list(call(*idents, page=999).items or [])
        assert self.steps.wire.last is not None
        assert self.steps.wire.last.status_code == 200
        with refused(400, "parameter_invalid"):
            call(*idents, page_limit=51)

    def deprecated(self) -> bool:
        assert self.steps.wire.last is not None
        return self.steps.wire.last.headers.get("Deprecation") == "true"

    def upload(self, path: Path, kind: str) -> str:
        made = self.client.assets.create(method="direct", file=(path.name, path.read_bytes(), kind))
        until(lambda: self.client.assets.retrieve(made.id), lambda one: one.status in FINAL)
        return str(made.id)

    def expired(self, secret: str, purpose: str, text: str) -> str:
        """Return a token as the engine made it two hours ago: signed with its own secret, good for one."""
        with sqlite3.connect(f"file:{self.data / 'engine.sqlite3'}?mode=ro", uri=True) as db:
            [[key]] = db.execute("SELECT secret FROM secrets WHERE name = ?", [secret]).fetchall()
        return Tokens(bytes(key), purpose, lambda: time.time() - 7200).make(text, 3600)

    # -- assets and uploads ------------------------------------------------

    def assets(self) -> None:
        film = self.clips.film
        with self.step("assets.create", "the film as a file; a picture by URL; a clip under 4 s",
                       "201 and `processing`; the picture's bytes were fetched; the short clip fails by name when it is asked about") as call:  # fmt: skip
            made = call(
                method="direct", file=(film.name, film.read_bytes(), "application/x-wrong"), filename="Főcím 影.mp4"
            )
            assert made.status in ("processing", "ready")
            self.film = str(made.id)
            self.image = str(call(method="url", url=f"{self.site}/picture.png").id)
            with refused(400, "parameter_invalid"):
                call(method="url", url="ftp://example.com/x.mp4")
            if self.clips.short:
                short = self.upload(self.clips.short, "video/mp4")
                with refused(400, "video_duration_too_short"):
                    self.client.analyze(video=VideoContext_AssetId(asset_id=short), prompt="x")
        with self.step("assets.retrieve", "the film, the picture, an unknown id",
                       "ready; the type is what the bytes are, not what was claimed; the name in Unicode; 404 `resource_not_exist`") as call:  # fmt: skip
            ready = until(lambda: call(self.film), lambda one: one.status in FINAL)
            assert (ready.status, ready.file_type, ready.filename, ready.method) == (
                "ready",
                "video/mp4",
                "Főcím 影.mp4",
                "direct",
            )
            image = until(lambda: call(self.image), lambda one: one.status in FINAL)
            assert (image.status, image.file_type, image.method) == ("ready", "image/png", "url")
            with refused(404, "resource_not_exist"):
                call(UNKNOWN)
        with self.step("assets.list", "`asset_types`, `asset_ids` repeated, page by page, past the end, page_limit 51",
                       "each filter gives exactly the right ids; pages of 1 give every asset once, newest first; past the end 200 and empty; 400") as call:  # fmt: skip
            assert [one.id for one in call(asset_types=["image"])] == [self.image]
            assert {one.id for one in call(asset_ids=[self.film, self.image])} == {self.film, self.image}
            each = [one.created_at for one in call(page_limit=1)]
            assert len(each) == len(list(call())) >= 2
            assert each == sorted(each, reverse=True)
            self.past_the_end(call)
        with self.step(
            "assets.delete",
            "a second copy of the film, then the same again",
            "it is gone, the film itself is not; the second time 404",
        ) as call:
            copy = self.upload(film, "video/mp4")
            call(copy)
            with refused(404, "resource_not_exist"):
                call(copy)
            assert self.client.assets.retrieve(self.film).status == "ready"

    def uploads(self) -> None:
        client = self.client.multipart_upload
        content = clips.padded(self.clips.film, 2 * _CHUNK)
        pieces = [content[at : at + _CHUNK] for at in range(0, len(content), _CHUNK)]
        with self.step(
            "multipart_upload.create",
            f"a session for {len(pieces)} chunks; 5 GB; no size",
            "an address for each chunk, its own secret in each; refused with 400 by name",
        ) as call:
            made = call(filename="parts.mp4", type="video", total_size=len(content))
            urls = {one.chunk_index: str(one.url) for one in made.upload_urls}
            assert (made.total_chunks, sorted(urls)) == (len(pieces), list(range(1, len(pieces) + 1)))
            assert len(set(urls.values())) == len(pieces)
            with refused(400, "video_filesize_too_large"):
                call(filename="big.mp4", type="video", total_size=5 * 1024**3)
            with refused(400, "parameter_invalid"):
                call(filename="none.mp4", type="video", total_size=0)
        with self.step("multipart_upload.get_additional_presigned_urls", "chunk 2 anew; from 0; 51 at once; an address signed two hours ago; one with a letter changed",
                       "new addresses work beside the old; 400; the expired address is 403, the forged one 404, and neither stores a byte") as call:  # fmt: skip
            more = call(made.upload_id, start=2, count=1)
            assert [one.chunk_index for one in more.upload_urls] == [2]
            for wrong in ({"start": 0, "count": 1}, {"start": 1, "count": 51}):
                with refused(400, "parameter_invalid"):
                    call(made.upload_id, **wrong)
            old = f"{urls[1].rpartition('/')[0]}/{self.expired('uploads', 'chunk', f'{made.upload_id}/1')}"
            assert httpx.put(old, content=pieces[0]).status_code == 403
            assert (
                httpx.put(f"{urls[1][:-1]}{'A' if urls[1][-1] != 'A' else 'B'}", content=pieces[0]).status_code == 404
            )
        proofs: dict[int, str] = {}
        for index in reversed(range(1, len(pieces) + 1)):  # any order, and one of them twice
            put = httpx.put(urls[index] if index != 2 else str(more.upload_urls[0].url), content=pieces[index - 1])
            proofs[index] = put.headers["ETag"].strip('"')
        httpx.put(urls[1], content=pieces[0])
        done = [CompletedChunk(chunk_index=at, proof=proof, proof_type="etag", chunk_size=len(pieces[at - 1]))
                for at, proof in proofs.items()]  # fmt: skip
        with self.step("multipart_upload.list_incomplete_uploads", "the sessions in progress, and past the end", "ours is `active` with its sizes; 200 and empty") as call:  # fmt: skip
            [mine] = [one for one in call() if one.upload_id == made.upload_id]
            assert (mine.status, mine.total_size, mine.chunk_size, mine.total_chunks) == (
                "active",
                len(content),
                _CHUNK,
                len(pieces),
            )
            self.past_the_end(call)
        with self.step("multipart_upload.report_chunk_batch", "a wrong ETag; one chunk; the same and the rest, in reverse order",
                       "the wrong proof is refused and counts nothing; 1 done; 1 duplicate; the asset's URL only when all are there") as call:  # fmt: skip
            with refused(400, "parameter_invalid"):
                call(made.upload_id, completed_chunks=[done[0].model_copy(update={"proof": "0" * 32})])
            first = call(made.upload_id, completed_chunks=done[:1])
            assert (first.processed_chunks, first.duplicate_chunks, first.total_completed, first.url) == (1, 0, 1, None)
            self.half = [(row.index, row.status) for row in client.get_status(str(made.upload_id))]
            last = call(made.upload_id, completed_chunks=done)
            assert (last.processed_chunks, last.duplicate_chunks, last.total_completed) == (
                len(pieces) - 1,
                1,
                len(pieces),
            )
            assert str(last.url).endswith(f"/assets/{made.asset_id}")
        with self.step("multipart_upload.get_status", "between two reports and after the last; an unknown session",
                       "a row for each chunk, also the pending ones; all `completed`; the asset is ready with the very bytes; 404") as call:  # fmt: skip
            assert self.half == [
                (at, "completed" if at == len(pieces) else "pending") for at in range(1, len(pieces) + 1)
            ]
            assert {row.status for row in call(str(made.upload_id))} == {"completed"}
            joined = until(lambda: self.client.assets.retrieve(made.asset_id), lambda one: one.status in FINAL)
            assert joined.status == "ready"
            stored = [path.stat().st_size for path in self.data.rglob("*") if path.is_file()]
            assert len(content) in stored
            with refused(404, "resource_not_exist"):
                call(UNKNOWN)

    # -- indexes and what is in them ---------------------------------------

    def indexes(self) -> None:
        with self.step(
            "indexes.create",
            "both models with thumbnails; the same name; an unknown model; an addon without Marengo",
            "an id; `index_name_already_exists`; 400 twice",
        ) as call:
            self.index = str(call(index_name="films", models=MODELS, addons=["thumbnail"]).id)
            with refused(400, "index_name_already_exists"):
                call(index_name="films", models=MODELS)
            for wrong in ({"models": [{"model_name": "gpt"}]}, {"models": MODELS[1:], "addons": ["thumbnail"]}):
                with refused(400, "parameter_invalid"):
                    call(index_name="wrong", **wrong)
            self.silent = str(
                call(index_name="pictures only", models=[{"model_name": MARENGO, "model_options": ["visual"]}]).id
            )
        with self.step(
            "indexes.retrieve", "the new index, an unknown one", "what was asked for, nothing in it yet; 404"
        ) as call:
            told = call(self.index)
            assert [one.model_name for one in told.models] == [MARENGO, "pegasus1.2"]
            assert (told.index_name, told.addons, told.video_count, told.total_duration) == (
                "films",
                ["thumbnail"],
                0,
                0,
            )
            with refused(404, "resource_not_exist"):
                call(UNKNOWN)
        with self.step(
            "indexes.list",
            "by name, by family, by options, in both orders, since tomorrow, past the end",
            "exactly the right ids in the right order; 200 and empty; a wrong order is 400",
        ) as call:
            assert [one.id for one in call(index_name="films")] == [self.index]
            assert [one.id for one in call(model_family="pegasus")] == [self.index]
            assert [one.id for one in call(model_options="visual,audio")] == [self.index]
            assert [one.id for one in call()] == [self.silent, self.index]
            assert [one.id for one in call(sort_option="asc")] == [self.index, self.silent]
            assert list(call(created_at="2999-01-01T00:00:00Z")) == []
            with refused(400, "parameter_invalid"):
                call(sort_by="size")
            self.past_the_end(call)
        with self.step(
            "indexes.update", "a new name, a taken one", "it bears the new name; `index_name_already_exists`"
        ) as call:
            call(self.index, index_name="Filme ✓")
            assert self.client.indexes.retrieve(self.index).index_name == "Filme ✓"
            with refused(400, "index_name_already_exists"):
                call(self.silent, index_name="Filme ✓")

    def indexed(self) -> None:
        rows = self.client.indexes.indexed_assets
        with self.step(
            "indexes.indexed_assets.create",
            "the film and another clip, to be streamed; an unknown asset; a picture",
            "202, then every status until ready is one of the API's; 404; 400",
        ) as call:
            other = self.upload(self.clips.other, "video/mp4")
            self.item = str(call(self.index, asset_id=self.film, enable_video_stream=True).id)
            self.other = str(call(self.index, asset_id=other).id)
            with refused(404, "resource_not_exist"):
                call(self.index, asset_id=UNKNOWN)
            with refused(400, "parameter_invalid"):
                call(self.index, asset_id=self.image)
            seen: set[str] = set()
            for ident in (self.item, self.other):
                until(
                    lambda ident=ident: rows.retrieve(self.index, ident),
                    lambda one: seen.add(str(one.status)) or one.status in FINAL,
                )  # type: ignore[misc]
            assert seen <= {"ready", "pending", "queued", "indexing"}, seen
        with self.step(
            "indexes.indexed_assets.update",
            "metadata of four types; then one null, one new, one changed; a list as a value",
            "merged, and null deletes; `updated_at` moves; 400",
        ) as call:
            before = rows.retrieve(self.index, self.item).updated_at
            call(self.index, self.item, user_metadata={"genre": "demo", "year": 2024, "score": 4.5, "public": True})
            call(self.index, self.item, user_metadata={"genre": None, "year": 2025, "città": "Łódź"})
            kept = rows.retrieve(self.index, self.item)
            assert kept.user_metadata == {"year": 2025, "score": 4.5, "public": True, "città": "Łódź"}
            assert str(kept.updated_at) > str(before)
            with refused(400, "parameter_invalid"):
                call(self.index, self.item, user_metadata={"list": [1]})
        with self.step("indexes.indexed_assets.retrieve", "with the transcription; with vectors; from the wrong index",
                       "seconds, width and size of the file; at least 60 % of the caption's longer words, in time order; HLS plays whole; vectors, or a 400 that names the weights; 404") as call:  # fmt: skip
            film = call(self.index, self.item)
            facts = film.system_metadata
            assert close(facts.duration, self.clips.seconds, 0.05)
            assert (facts.width, facts.size) == (self.clips.width, self.clips.film.stat().st_size)
            assert film.hls.status == "COMPLETE"
            listed = httpx.get(film.hls.video_url).text.splitlines()
            assert close(
                sum(float(line[8:].rstrip(",")) for line in listed if line.startswith("#EXTINF:")),
                self.clips.seconds,
                0.5,
            )
            said = call(self.index, self.other, transcription=True).transcription
            text = " ".join(one.value for one in said).lower()
            heard = [word for word in self.clips.words if word in text]
            assert len(heard) >= 0.6 * len(self.clips.words), text
            assert [one.start for one in said] == sorted(one.start for one in said)
            assert call(self.index, self.other).transcription is None
            self.check_kept_vectors(call)
            with refused(404, "resource_not_exist"):
                call(self.silent, self.item)
        with self.step("indexes.indexed_assets.list", "by metadata of each type, by number and by range, by name, status, instant, in order, past the end",
                       "each filter finds the film alone or nothing; both orders; 200 and empty; a wrong status is 400") as call:  # fmt: skip
            for wanted in ({"year": 2025}, {"score": 4.5}, {"public": True}, {"città": "Łódź"}):
                assert [one.id for one in call(self.index, user_metadata=wanted)] == [self.item], wanted
            for nothing in ({"genre": "demo"}, {"year": 2024}, {"public": False}):
                assert list(call(self.index, user_metadata=nothing)) == [], nothing
            raw = [self.steps.plain("GET", f"/indexes/{self.index}/indexed-assets?{query}")["page_info"]["total_results"] for query in (
                f"duration[gte]={self.clips.seconds - 0.1}&duration[lte]={self.clips.seconds + 0.1}&public=true", "height[gte]=361", "year=2025", "fps[lte]=1")]  # fmt: skip
            assert raw == [1, 0, 1, 0], raw
            assert {one.id for one in call(self.index, status=["ready"])} == {self.item, self.other}
            assert [one.id for one in call(self.index, filename="Főcím 影.mp4", width=self.clips.width)] == [self.item]
            assert [one.id for one in call(self.index, updated_at="2000-01-01")] == [
                self.item
            ]  # the other was never updated
            assert [one.id for one in call(self.index, sort_option="asc", page_limit=1)] == [self.item, self.other]
            assert next(one.id for one in call(self.index, sort_by="updated_at")) == self.item
            with refused(400, "parameter_invalid"):
                call(self.index, status=["done"])
            self.past_the_end(call, self.index)
        with self.step("indexes.indexed_assets.delete", "a second row of the same film", "it is gone; the first, the asset and the index's count are as before") as call:  # fmt: skip
            again = str(rows.create(self.index, asset_id=self.film).id)
            until(lambda: rows.retrieve(self.index, again), lambda one: one.status in FINAL)
            assert self.client.indexes.retrieve(self.index).video_count == 3
            call(self.index, again)
            with refused(404, "resource_not_exist"):
                rows.retrieve(self.index, again)
            assert self.client.indexes.retrieve(self.index).video_count == 2
            assert rows.retrieve(self.index, self.item).status == "ready"

    def check_kept_vectors(self, call: Any) -> None:
        if not self.weights:
            with refused(400, "parameter_invalid", says="weights"):
                call(self.index, self.other, embedding_option=["transcription"])
            return
        kept = call(self.index, self.other, embedding_option=["visual", "transcription"]).embedding
        lengths = {one.embedding_option: len(one.float_) for one in kept.video_embedding.segments}
        assert lengths == {"visual": 160} | ({"transcription": 384} if self.clips.words else {}), lengths

    def videos(self) -> None:
        videos = self.client.indexes.videos
        with self.step("indexes.videos.list", "the older twin: by metadata and number, past the end", "the film alone; `Deprecation: true`; 200 and empty") as call:  # fmt: skip
            assert [one.id for one in call(self.index, user_metadata={"year": 2025}, width=self.clips.width)] == [
                self.item
            ]
            assert self.deprecated()
            self.past_the_end(call, self.index)
        with self.step("indexes.videos.update", "a key and its deletion", "seen through both twins") as call:
            call(self.index, self.item, user_metadata={"by": "twin", "score": None})
            assert self.client.indexes.indexed_assets.retrieve(self.index, self.item).user_metadata == {
                "year": 2025,
                "public": True,
                "città": "Łódź",
                "by": "twin",
            }
            assert self.deprecated() is False
        with self.step(
            "indexes.videos.retrieve",
            "with the transcription; an unknown video",
            "the same facts as its twin tells; deprecated; 404",
        ) as call:
            video, twin = (
                call(self.index, self.other, transcription=True),
                self.client.indexes.indexed_assets.retrieve(self.index, self.other, transcription=True),
            )
            assert video.system_metadata.duration == twin.system_metadata.duration
            assert [one.value for one in video.transcription] == [one.value for one in twin.transcription]
            with refused(404, "resource_not_exist"):
                call(self.index, UNKNOWN)
            assert self.deprecated()
        with self.step("indexes.videos.delete", "a row of its own, twice", "gone, then 404; others stay") as call:
            ident = str(self.client.indexes.indexed_assets.create(self.index, asset_id=self.film).id)
            until(
                lambda: self.client.indexes.indexed_assets.retrieve(self.index, ident), lambda one: one.status in FINAL
            )
            call(self.index, ident)
            with refused(404, "resource_not_exist"):
                call(self.index, ident)
            assert videos.retrieve(self.index, self.item).id == self.item

    # -- tasks -------------------------------------------------------------

    def tasks(self) -> None:
        tasks = self.client.tasks
        with self.step(
            "tasks.create",
            "the film by URL, with metadata; neither file nor URL; metadata that is no JSON",
            "a task and its video; deprecated; 400 twice",
        ) as call:
            task = call(
                index_id=self.silent, video_url=f"{self.site}/film.mp4", user_metadata=json.dumps({"by": "task"})
            )
            assert self.deprecated()
            with refused(400, "parameter_not_provided"):
                call(index_id=self.silent)
            with refused(400, "parameter_invalid"):
                call(index_id=self.silent, video_url=f"{self.site}/film.mp4", user_metadata="{by")
        ident = str(task.id)
        with self.step("tasks.retrieve", "until it is ready; one whose address leads nowhere",
                       "its statuses come in the API's order; seconds and name of the file; the other fails and says why") as call:  # fmt: skip
            seen: list[str] = []
            done = until(lambda: call(ident), lambda one: seen.append(str(one.status)) or one.status in FINAL)  # type: ignore[func-returns-value]
            order = ["uploading", "validating", "pending", "queued", "indexing", "ready"]
            assert [order.index(status) for status in seen] == sorted(order.index(status) for status in seen), seen
            assert (done.video_id, done.index_id, done.system_metadata.filename) == (
                task.video_id,
                self.silent,
                "film.mp4",
            )
            assert close(done.system_metadata.duration, self.clips.seconds, 0.05)
            self.lost = str(tasks.create(index_id=self.silent, video_url=f"{self.site}/nothing.mp4").id)
            failed = until(lambda: call(self.lost), lambda one: one.status in FINAL)
            assert failed.status == "failed"
            assert failed.error["message"]
        with self.step("tasks.list", "by status, name, index and number; past the end", "exactly the right ids; 200 and empty; a wrong status is 400") as call:  # fmt: skip
            assert [
                one.id
                for one in call(status=["ready"], filename="film.mp4", index_id=self.silent, width=self.clips.width)
            ] == [ident]
            assert {one.id for one in call(status=["ready", "failed"], index_id=self.silent)} == {ident, self.lost}
            assert list(call(index_id=self.silent, height=1)) == []
            with refused(400, "parameter_invalid"):
                call(status=["done"])
            self.past_the_end(call)
        with self.step(
            "tasks.delete",
            "a ready one whose video is there; after its video; a failed one",
            "`task_cannot_be_deleted`; then gone, 404; the failed one goes at once",
        ) as call:
            with refused(400, "task_cannot_be_deleted"):
                call(ident)
            self.client.indexes.videos.delete(self.silent, str(task.video_id))
            call(ident)
            with refused(404, "resource_not_exist"):
                tasks.retrieve(ident)
            call(self.lost)

    def transfers(self) -> None:
        for end in ("create", "get_status", "get_logs"):
            checked = "404 `resource_not_exist`: an integration is set up in the cloud, none can exist here"
            step = self.step(f"tasks.transfers.{end}", "an integration", checked)
            with step as call, refused(404, "resource_not_exist"):
                call(UNKNOWN)

    # -- analyses ----------------------------------------------------------

    def analyses(self) -> None:
        schema = {"type": "object", "properties": {"cuts": {"type": "array", "items": {"type": "number"}}, "duration_s": {"type": "number"}}, "required": ["cuts", "duration_s"]}  # fmt: skip
        film = VideoContext_AssetId(asset_id=self.film)
        with self.step("analyze", "a schema with the cuts; a summary; a budget of 5 tokens; no prompt; a temperature of 2; a schema that nothing measures",
                       "the cuts of MEDIA.md within 0.25 s and no others; the 440 Hz tone is told; `length` and 5 tokens; 400 with the parameter's name; what has no ground is refused") as call:  # fmt: skip
            wanted = ResponseFormat(type="json_schema", json_schema=schema)
            told = call(video=film, prompt="Where are the cuts?", response_format=wanted)
            data = json.loads(told.data)
            assert len(data["cuts"]) == len(self.clips.cuts), data
            assert all(close(one, true) for one, true in zip(data["cuts"], self.clips.cuts, strict=True)), data
            assert close(data["duration_s"], self.clips.seconds, 0.05)
            self.whole = call(video=film, prompt="Summarise the video")
            assert "440 Hz" in self.whole.data
            assert self.whole.finish_reason == "stop"
            cut = call(video=film, prompt="Summarise the video", max_tokens=5)
            assert (cut.finish_reason, cut.usage.output_tokens) == ("length", 5)
            assert self.whole.data.startswith(cut.data)
            if not self.latest:  # the newest SDK has no video_id
                assert call(video_id=self.item, prompt="Summarise the video").data == self.whole.data
            with refused(400, "parameter_invalid", says="prompt"):
                call(video=film, prompt=" ")
            with refused(400, "parameter_invalid", says="temperature"):
                call(video=film, prompt="x", temperature=2)
            self.check_no_ground(call, film)
        with self.step("analyze_stream", "the same summary by asset and by URL; an unknown asset",
                       "start, text, end; the texts join to the very answer of `analyze`; one generation id; 404 before any event") as call:  # fmt: skip
            events = list(call(video=film, prompt="Summarise the video"))
            assert "".join(one.text for one in events if one.event_type == "text_generation") == self.whole.data
            assert [events[0].event_type, events[-1].event_type, events[-1].finish_reason] == [
                "stream_start",
                "stream_end",
                "stop",
            ]
            assert events[0].metadata.generation_id == events[-1].metadata.generation_id
            url = list(call(video=VideoContext_Url(url=f"{self.site}/film.mp4"), prompt="How does it sound?"))
            assert "440 Hz" in "".join(one.text for one in url if one.event_type == "text_generation")
            with refused(404, "resource_not_exist"):
                list(call(video=VideoContext_AssetId(asset_id=UNKNOWN), prompt="x"))

    def check_no_ground(self, call: Any, film: Any) -> None:
        schema = {"type": "object", "properties": {"mayor": {"type": "string"}}, "required": ["mayor"]}
        wanted = ResponseFormat(type="json_schema", json_schema=schema)
        with refused(400, "parameter_invalid", says="mayor"):
            call(video=film, prompt="x", response_format=wanted)

    def analysis_tasks(self) -> None:
        _tasks, film = self.client.analyze_async.tasks, VideoContext_AssetId(asset_id=self.film)
        with self.step("analyze_async.tasks.create", "the summary, behind the answer; no such asset; no prompt", "202 with an id; errors nested, 404 and 400") as call:  # fmt: skip
            made = call(video=film, prompt="Summarise the video")
            assert made.status in ("queued", "pending", "processing")
            with refused(404, "resource_not_exist", nested=True):
                call(video=VideoContext_AssetId(asset_id=UNKNOWN), prompt="x")
            with refused(400, "parameter_invalid", nested=True):
                call(video=film, prompt="")
        with self.step("analyze_async.tasks.retrieve", "until it is ready; an unknown one", "the text is the very one of `analyze`; `completed_at` after `created_at`; 404, nested") as call:  # fmt: skip
            done = until(lambda: call(made.task_id), lambda one: one.status in FINAL)
            assert (done.status, done.result.data, done.result.finish_reason) == ("ready", self.whole.data, "stop")
            assert done.completed_at >= done.created_at
            with refused(404, "resource_not_exist", nested=True):
                call(UNKNOWN)
        with self.step(
            "analyze_async.tasks.list",
            "by status; past the end",
            "the task among the ready, nothing among the failed; 200 and empty",
        ) as call:
            assert [one.task_id for one in call(status="ready").data] == [made.task_id]
            assert not call(status="failed").data
            assert not call(page=999).data
        with self.step("analyze_async.tasks.delete", "the task, twice", "gone, then 404, nested") as call:
            call(made.task_id)
            with refused(404, "resource_not_exist", nested=True):
                call(made.task_id)

    # -- search ------------------------------------------------------------

    def search(self) -> None:
        with self.step("search.create", "words of the sound, the picture and the speech; a picture from inside a shot; filters; groups; `and`; page by page; what nobody speaks of",
                       "the first hit is the right clip at the right seconds; nothing for what is not there; 400 with the search's own codes") as call:  # fmt: skip

            def hits(**query: Any) -> list[Any]:
                return list(call(index_id=query.pop("index_id", self.index), **query).data or [])

            word, at = self.clips.tone
            first = hits(search_options=["audio"], query_text=word)[0]
            assert (first.video_id, close(first.start, at)) == (self.item, True)
            if self.clips.words:
                first = hits(search_options=["transcription"], query_text="space telescope")[0]
                assert first.video_id == self.other
                assert "telescope" in first.transcription
            assert hits(search_options=["visual", "audio", "transcription"], query_text="elephants") == []
            shown = ("q.png", clips.picture(self.clips.film, self.clips.picture_at), "image/png")
            first = hits(search_options=["visual"], query_media_type="image", query_media_file=shown)[0]
            assert first.video_id in (self.item, self.other)
            assert close(first.start, self.clips.shot[0])
            assert close(first.end, self.clips.shot[1])
            assert httpx.get(first.thumbnail_url).headers["Content-Type"] == "image/jpeg"
            fetched = hits(
                search_options=["visual"], query_media_type="image", query_media_url=f"{self.site}/picture.png"
            )
            assert [one.start for one in fetched][:1] == [first.start]
            only = json.dumps(
                {"year": 2025, "duration": {"gte": self.clips.seconds - 1, "lte": self.clips.seconds + 1}}
            )
            assert {one.video_id for one in hits(search_options=["visual"], query_text="cut", filter=only)} == {
                self.item
            }
            assert hits(search_options=["visual"], query_text="cut", filter=json.dumps({"year": 1999})) == []
            grouped = call(
                index_id=self.index,
                search_options=["visual"],
                query_text="cut",
                group_by="video",
                include_user_metadata=True,
            )
            [mine] = [one for one in grouped.data if one.id == self.item]
            assert mine.user_metadata["year"] == 2025
            assert sum(len(one.clips) for one in grouped.data) == grouped.page_info.total_inner_matches
            both = hits(search_options=["visual", "audio"], query_text=f"cut {word}", operator="and")
            assert all(one.start < one.end for one in both)
            for wrong, code in (({"filter": '{"duration": {"gt": 1}}'}, "search_filter_invalid"), ({"query_text": "x " * 2000}, "token_limit_exceeded"), ({"search_options": ["smell"]}, "search_option_not_supported"), ({"page_limit": 51}, "parameter_invalid")):  # fmt: skip
                with refused(400, code):
                    hits(**({"search_options": ["visual"], "query_text": "cut"} | wrong))
            with refused(400, "search_option_not_supported"):
                hits(index_id=self.silent, search_options=["audio"], query_text="x")
        with self.step("search.retrieve", "page after page by its token, to the end and back; a token signed two hours ago; no token",
                       "the pages of 1 join to the whole answer, each hit once, ranks 1 to n; the previous page is the same again; `search_page_token_expired`; 400") as call:  # fmt: skip
            whole = [
                (one.video_id, one.start)
                for one in self.client.search.create(
                    index_id=self.index, search_options=["visual"], query_text="cut", page_limit=50
                ).data
            ]
            page = self.client.search.create(
                index_id=self.index, search_options=["visual"], query_text="cut", page_limit=1
            )
            paged, ranks = [(one.video_id, one.start) for one in page.data], [page.data[0].rank]
            while page.page_info.next_page_token:
                page = call(page.page_info.next_page_token)
                paged += [(one.video_id, one.start) for one in page.data]
                ranks += [one.rank for one in page.data]
            assert len(whole) > 2
            assert (paged, ranks) == (whole, list(range(1, len(whole) + 1)))
            assert call(page.page_info.prev_page_token).data[0].start == whole[-2][1]
            with refused(400, "search_page_token_expired"):
                call(self.expired("searches", "page", "0/2"))
            with refused(400, "parameter_invalid"):
                call("no-token")

    # -- embeddings --------------------------------------------------------

    def embeddings(self) -> None:
        similar, different = "a rocket was launched into space", "my grandmother bakes bread on Sundays"
        with self.step("embed.create", "a text; two that mean the same and one that does not; a picture; no input; another model",
                       self.meant("384 numbers of length 1; the similar nearer than the different by 0.2; the picture in a space of its own; deprecated; 400")) as call:  # fmt: skip
            if not self.weights:
                with refused(400, "parameter_invalid", says="weights"):
                    call(model_name=MARENGO, text=similar)
                assert self.deprecated()
            else:

                def vector(text: str) -> list[float]:
                    return list(call(model_name=MARENGO, text=text).text_embedding.segments[0].float_)

                one, near, far = vector("a spacecraft took off"), vector(similar), vector(different)
                assert len(one) == 384
                assert close(cosine(one, one), 1, 1e-5)
                assert cosine(one, near) > cosine(one, far) + 0.2
                assert self.deprecated()
                image = call(model_name=MARENGO, image_file=("q.png", clips.picture(self.clips.film, 1.0), "image/png"))
                assert len(image.image_embedding.segments[0].float_) == 160
                assert image.model_name != call(model_name=MARENGO, text="x").model_name
            with refused(400, "parameter_not_provided"):
                call(model_name=MARENGO)
            with refused(400, "parameter_invalid", says="marengo3.0"):
                call(model_name="Marengo-retrieval-2.7", text="x")
        with self.step("embed.v_2.create", "the same text; the film; vectors of sound; an unknown asset", self.meant("the very vector of `embed.create`; the film's visual stretches lie end to end; sound is refused by name; errors nested")) as call:  # fmt: skip
            text = TextInputRequest(input_text="a spacecraft took off")
            video = VideoInputRequest(
                media_source=MediaSource(asset_id=self.film), embedding_option=["visual"], embedding_scope=["clip"]
            )
            if not self.weights:
                with refused(400, "parameter_invalid", nested=True, says="weights"):
                    call(input_type="text", model_name=MARENGO, text=text)
            else:
                assert all(
                    close(a, b, 1e-6)
                    for a, b in zip(
                        call(input_type="text", model_name=MARENGO, text=text).data[0].embedding, one, strict=True
                    )
                )
                rows = call(input_type="video", model_name=MARENGO, video=video).data
                assert rows[0].start_sec == 0
                assert close(rows[-1].end_sec, self.clips.seconds, 0.1)
                assert all(a.end_sec == b.start_sec for a, b in itertools.pairwise(rows))
                with refused(404, "resource_not_exist", nested=True):
                    call(
                        input_type="video",
                        model_name=MARENGO,
                        video=VideoInputRequest(media_source=MediaSource(asset_id=UNKNOWN)),
                    )
            with refused(400, "parameter_invalid", nested=True, says="sound"):
                call(
                    input_type="audio",
                    model_name=MARENGO,
                    audio=AudioInputRequest(media_source=MediaSource(asset_id=self.film), embedding_option=["audio"]),
                )

    def meant(self, checked: str) -> str:
        """Return what is checked with the weights, or what is without."""
        return (
            checked
            if self.weights
            else "without weights: checked in full, then 400 `parameter_invalid` that says what to do; no numbers in their place"
        )

    def embedding_tasks(self) -> None:
        _first, _second = self.client.embed.tasks, self.client.embed.v_2.tasks
        video = VideoInputRequest(media_source=MediaSource(asset_id=self.film), embedding_option=["visual"])
        with self.step(
            "embed.tasks.create",
            "the film by URL in stretches of 5 s; stretches of 11 s",
            self.meant("an id; deprecated; 400"),
        ) as call:
            wanted = {"model_name": MARENGO, "video_url": f"{self.site}/film.mp4", "video_clip_length": 5}
            if self.weights:
                self.first = str(call(**wanted, video_embedding_scope=["clip", "video"]).id)
            else:
                with refused(400, "parameter_invalid", says="weights"):
                    call(**wanted)
                self.first = ""
            assert self.deprecated()
            with refused(400, "parameter_invalid", says="video_clip_length"):
                call(**{**wanted, "video_clip_length": 11})
        with self.step(
            "embed.tasks.status",
            "until it is ready; an unknown task",
            self.meant("`processing`, then `ready`, with the film's seconds; 404"),
        ) as call:
            if self.first:
                done = until(lambda: call(self.first), lambda one: one.status != "processing")
                assert (done.status, close(done.video_embedding.metadata.duration, self.clips.seconds, 0.05)) == (
                    "ready",
                    True,
                )
            with refused(404, "resource_not_exist"):
                call(UNKNOWN)
        with self.step("embed.tasks.retrieve", "its visual vectors; an unknown option; an unknown task", self.meant("stretches of 5 s end to end, and one of the whole; 400; 404")) as call:  # fmt: skip
            if self.first:
                rows = call(self.first, embedding_option=["visual"]).video_embedding.segments
                parts = [one for one in rows if one.embedding_scope == "clip"]
                assert [one.start_offset_sec for one in parts] == [5 * at for at in range(len(parts))]
                assert [one.embedding_scope for one in rows if one not in parts] == ["video"]
            with refused(404, "resource_not_exist"):
                call(UNKNOWN)
        with self.step(
            "embed.tasks.list",
            "by status and instant; past the end",
            self.meant("the task alone; before 2020 none; 200 and empty"),
        ) as call:
            assert [one.id for one in call(status="ready")] == ([self.first] if self.first else [])
            assert list(call(ended_at="2020-01-01T00:00:00Z")) == []
            with refused(400, "parameter_invalid"):
                call(status="done")
            self.past_the_end(call)
        with self.step(
            "embed.v_2.tasks.create",
            "the film; an input type that has no tasks",
            self.meant("202 and `processing`; 400, nested"),
        ) as call:
            if self.weights:
                made = call(input_type="video", model_name=MARENGO, video=video)
                assert (made.status, made.data) == ("processing", None)
                self.second = str(made.id)
            else:
                with refused(400, "parameter_invalid", nested=True, says="weights"):
                    call(input_type="video", model_name=MARENGO, video=video)
                self.second = ""
            with refused(400, "parameter_invalid", nested=True):
                call(input_type="smell", model_name=MARENGO)
        with self.step("embed.v_2.tasks.retrieve", "until it is ready; an unknown one", self.meant("as many visual vectors as `embed.v_2.create` gave, and one of the whole; 404, nested")) as call:  # fmt: skip
            if self.second:
                done = until(lambda: call(self.second), lambda one: one.status != "processing")
                assert done.status == "ready"
                assert [one.embedding_scope for one in done.data].count("asset") == 1
                assert done.metadata.duration
                assert close(done.metadata.duration, self.clips.seconds, 0.05)
            with refused(404, "resource_not_exist", nested=True):
                call(UNKNOWN)
        with self.step(
            "embed.v_2.tasks.list",
            "by status and instant; past the end",
            self.meant("its own generation's task alone; 200 and empty"),
        ) as call:
            assert [one.id for one in call(status="ready")] == ([self.second] if self.second else [])
            assert list(call(started_at="2999-01-01T00:00:00Z")) == []
            self.past_the_end(call)

    # -- entities ----------------------------------------------------------

    def entities(self) -> None:
        cast, entities = self.client.entity_collections, self.client.entity_collections.entities
        with self.step("entity_collections.create", "two; one without a name", "as asked, dates set; 400") as call:
            made = call(name="cast", description="who is in it")
            self.cast, crew = str(made.id), str(call(name="Ärzte").id)
            assert (made.name, made.description, made.created_at == made.updated_at) == ("cast", "who is in it", True)
            with refused(400, "parameter_invalid"):
                call(name=" ")
        with self.step(
            "entity_collections.list",
            "by name, in order of names both ways, past the end",
            "the right ids in the right order; 200 and empty",
        ) as call:
            assert [one.id for one in call(name="Ärzte")] == [crew]
            assert [one.id for one in call(sort_by="name", sort_option="asc")] == [self.cast, crew]
            assert [one.id for one in call(sort_by="name")] == [crew, self.cast]
            self.past_the_end(call)
        with self.step("entity_collections.update", "the description alone", "the name stays") as call:
            assert (call(crew, description="doctors").name, cast.retrieve(crew).description) == ("Ärzte", "doctors")
        with self.step("entity_collections.retrieve", "one, an unknown one", "as made; 404") as call:
            assert call(self.cast).description == "who is in it"
            with refused(404, "resource_not_exist"):
                call(UNKNOWN)
        with self.step(
            "entity_collections.entities.create",
            "with a picture and metadata; with a video; with none",
            "`ready`, as asked; 400 twice",
        ) as call:
            ball = call(self.cast, name="car", asset_ids=[self.image], metadata={"white": True, "doors": 4})
            self.entity = str(ball.id)
            assert (ball.status, ball.metadata, ball.asset_ids) == ("ready", {"white": True, "doors": 4}, [self.image])
            for wrong in ([self.film], []):
                with refused(400, "parameter_invalid"):
                    call(self.cast, name="x", asset_ids=wrong)
        with self.step(
            "entity_collections.entities.create_bulk",
            "a good one and one of an unknown asset",
            "1 made, 1 refused, with its place and the reason",
        ) as call:
            bulk = call(
                self.cast,
                entities=[{"name": "hat", "asset_ids": [self.image]}, {"name": "none", "asset_ids": [UNKNOWN]}],
            )
            assert (bulk.success_count, bulk.failed_count, bulk.errors[0].entity_index) == (1, 1, 1)
            assert UNKNOWN in bulk.errors[0].error_reason
        with self.step(
            "entity_collections.entities.list", "by name, status, order; past the end", "the right ones; 200 and empty"
        ) as call:
            assert [one.name for one in call(self.cast, sort_by="name", sort_option="asc")] == ["car", "hat"]
            assert [one.id for one in call(self.cast, name="car", status="ready")] == [self.entity]
            assert list(call(self.cast, status="processing")) == []
            self.past_the_end(call, self.cast)
        with self.step(
            "entity_collections.entities.retrieve", "through its own collection and through another", "as made; 404"
        ) as call:
            assert call(self.cast, self.entity).metadata == {"white": True, "doors": 4}
            with refused(404, "resource_not_exist"):
                call(crew, self.entity)
        with self.step(
            "entity_collections.entities.update", "its metadata", "replaced entirely, the name stays"
        ) as call:
            assert (
                call(self.cast, self.entity, metadata={"doors": 2}).metadata,
                entities.retrieve(self.cast, self.entity).name,
            ) == ({"doors": 2}, "car")
        with self.step(
            "entity_collections.entities.create_assets", "a second picture, twice", "both pictures, each once"
        ) as call:
            other = self.client.assets.create(method="url", url=f"{self.site}/picture2.png")
            self.image2 = str(until(lambda: self.client.assets.retrieve(other.id), lambda one: one.status in FINAL).id)
            for _ in range(2):
                assert call(self.cast, self.entity, asset_ids=[self.image2]).asset_ids == [self.image, self.image2]
        with self.step(
            "entity_collections.entities.delete_assets",
            "the first picture, then the last",
            "one is left, and may not go: 400; the asset itself stays",
        ) as call:
            assert call(self.cast, self.entity, asset_ids=[self.image]).asset_ids == [self.image2]
            with refused(400, "parameter_invalid"):
                call(self.cast, self.entity, asset_ids=[self.image2])
            assert self.client.assets.retrieve(self.image).status == "ready"
            with refused(400, "search_option_not_supported", says="recognises no faces"):
                self.client.search.create(
                    index_id=self.index, search_options=["visual"], query_text=f"<@{self.entity}> drives"
                )
        with self.step("entity_collections.entities.delete", "it, twice", "gone, then 404; the other stays") as call:
            call(self.cast, self.entity)
            with refused(404, "resource_not_exist"):
                call(self.cast, self.entity)
            assert [one.name for one in entities.list(self.cast)] == ["hat"]
        with self.step(
            "entity_collections.delete", "it, with an entity inside", "gone with what was in it: 404"
        ) as call:
            call(self.cast)
            with refused(404, "resource_not_exist"):
                entities.list(self.cast)

    # -- the SDK's own helpers ---------------------------------------------

    def helpers(self) -> None:
        film = self.clips.film
        with self.step(
            "multipart_upload.upload_file",
            "helper: a file of several chunks",
            "an asset that becomes ready, and progress to 100 %",
        ) as call:
            big = self.data / "big.mp4"
            big.write_bytes(clips.padded(film, 2 * _CHUNK))
            shares: list[float] = []
            made = call(big, batch_size=2, progress_callback=lambda one: shares.append(one.percentage))
            big.unlink()
            assert shares[-1] == 100
            assert (
                until(lambda: self.client.assets.retrieve(made.asset_id), lambda one: one.status in FINAL).status
                == "ready"
            )
        with self.step(
            "multipart_upload.wait_for_upload_completion",
            "helper: a session whose chunks are all reported",
            "it returns `completed`",
        ) as call:
            session = self.client.multipart_upload.create(
                filename="one.mp4", type="video", total_size=film.stat().st_size
            )
            put = httpx.put(str(session.upload_urls[0].url), content=film.read_bytes())
            chunk = CompletedChunk(
                chunk_index=1, proof=put.headers["ETag"].strip('"'), proof_type="etag", chunk_size=film.stat().st_size
            )
            self.client.multipart_upload.report_chunk_batch(session.upload_id, completed_chunks=[chunk])
            assert call(str(session.upload_id), sleep_interval=0.1, max_wait_time=30).status == "completed"
        with self.step(
            "search.query", "helper: pages of 1, joined by the SDK", "every hit once, as in one page"
        ) as call:
            query: dict[str, Any] = {"index_id": self.index, "search_options": ["visual"], "query_text": "cut"}
            whole = [(one.video_id, one.start) for one in self.client.search.create(**query, page_limit=50).data or []]
            assert [(one.video_id, one.start) for one in call(**query, page_limit=1)] == whole
        with self.step("tasks.create_bulk", "helper: two URLs", "two tasks") as call:
            made = call(index_id=self.index, video_urls=[f"{self.site}/film.mp4", f"{self.site}/other.mp4"])
            assert len({one.id for one in made}) == 2
        with self.step("tasks.wait_for_done", "helper: each of them", "ready") as call:
            assert [call(str(one.id), sleep_interval=0.2).status for one in made] == ["ready", "ready"]
        if self.weights:
            with self.step("embed.tasks.create_bulk", "helper: two videos", "two tasks") as call:
                many = call(
                    model_name=MARENGO, videos=[{"video_url": f"{self.site}/{name}.mp4"} for name in ("film", "other")]
                )
                assert len({one.id for one in many}) == 2
            with self.step("embed.tasks.wait_for_done", "helper: each of them", "ready") as call:
                assert [call(str(one.id), sleep_interval=0.2).status for one in many] == ["ready"] * len(many)

    def newer(self) -> None:
        """What SDKs since 1.3 add, as far as it is served; older ones have no method for it."""
        if not self.latest:
            return
        rows, film = self.client.indexes.indexed_assets, VideoContext_AssetId(asset_id=self.film)
        with self.step(
            "indexes.indexed_assets.list_by_asset",
            "since 1.3: the film's rows, one of them made with metadata",
            "each with its index; the metadata is there from the start",
        ) as call:
            made = rows.create(self.silent, asset_id=self.film, user_metadata={"year": 2026})
            assert rows.retrieve(self.silent, made.id).user_metadata == {"year": 2026}
            assert (str(made.id), self.silent) in {(one.id, one.index.id) for one in call(self.film)}
        with self.step(
            "entity_collections.entities.list_by_asset",
            "since 1.3: the entities that a picture shows",
            "that entity alone",
        ) as call:
            cast = self.client.entity_collections.create(name="newer")
            one = self.client.entity_collections.entities.create(cast.id, name="car", asset_ids=[self.image])
            assert one.id in {entity.id for entity in call(self.image)}
            assert list(call(self.film)) == []
            self.client.entity_collections.delete(cast.id)
        with self.step(
            "analyze", "since 1.3: `start_time`, another model", "refused by name, not passed over: 400"
        ) as call:
            for wrong in ({"start_time": 1.0}, {"model_name": "pegasus9"}):
                with refused(400, "parameter_invalid", says=next(iter(wrong))):
                    call(video=film, prompt="x", **wrong)
        with (
            self.step("assets.create", "since 1.3: `enable_hls`", "refused with what serves it: 400") as call,
            refused(400, "parameter_invalid", says="enable_video_stream"),
        ):
            call(method="url", url=f"{self.site}/film.mp4", enable_hls=True)

    def farewell(self) -> None:
        with self.step(
            "indexes.delete",
            "the index with all that is in it, twice",
            "gone with its rows and found no more, then 404; the asset stays",
        ) as call:
            call(self.index)
            with refused(404, "resource_not_exist"):
                call(self.index)
            with refused(404, "resource_not_exist"):
                self.client.indexes.indexed_assets.retrieve(self.index, self.item)
            with refused(404, "resource_not_exist"):
                self.client.search.create(index_id=self.index, search_options=["visual"], query_text="cut")
            assert self.client.assets.retrieve(self.film).status == "ready"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-weights", action="store_true", help="as where `make meaning` was not run")
    arguments = parser.parse_args()
    methods = table.read_methods(SURFACE)
    weights = (default_data_dir() / "meaning").is_dir() and not arguments.without_weights
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        home, site = Path(folder), Path(folder) / "site"
        site.mkdir()
        found = clips.find(home)
        for name, content in (("film.mp4", found.film.read_bytes()), ("other.mp4", found.other.read_bytes()),
                              ("picture.png", clips.picture(found.film, found.picture_at)),
                              ("picture2.png", clips.picture(found.film, 1.0))):  # fmt: skip
            (site / name).write_bytes(content)
        wire = Wire()
        with table.file_server(site) as address, table.service(home, weights) as base, wire.client() as http:
            client = TwelveLabs(api_key="none needed", base_url=f"{base}/v1.3", httpx_client=http)
            steps = Steps(client, wire, methods)
            Workflow(steps, found, base, address, home / "data", weights).run()
    missing, failed = steps.missing(), [row for row in steps.rows if row.fault]
    good = len(methods) - len(missing) - len({row.method for row in failed} & set(methods))
    print(f"SDK {table.sdk_version()}, {'with' if weights else 'without'} the weights for meaning, on {found.name}.")
    print(f"{good} of {len(methods)} methods good, {len(wire.requests)} calls in {time.monotonic() - began:.0f} s.\n")
    print(steps.markdown())
    for name in missing:
        print(f"NOT CALLED: {name}", file=sys.stderr)
    return 1 if missing or failed else 0


if __name__ == "__main__":
    sys.exit(main())
