"""Half a surrogate pair at the end of one attempt, and another attempt behind it: memory and store say the same."""

import pytest

from service.store.memory import MemoryStore
from tests.fakes.faulty_store import FaultyStore
from tests.fakes.upstream import Play, end, start, text
from tests.fakes.waiting import until
from tests.service.hub.test_keeping import begin, half, hub_on, read_again

OTHER = text("LOW").replace(b"LOW", b"\\ude00")


@pytest.mark.parametrize("fails", [False, True], ids=["kept", "kept-later"])
@pytest.mark.parametrize(
    "again",
    [
        [text("abc"), end()],
        [half("abc"), OTHER, end()],
        [half("ab"), OTHER, end()],
        [text("ab"), end()],
        [half("abc"), text("d"), end()],
        [half("x"), text("yz"), end()],
        [half("abc")],
    ],
    ids=["more", "more-and-half", "same-half", "same-and-none", "half-and-plain", "another", "cut"],
)
async def test_a_text_that_went_on_behind_half_a_pair_is_read_back_as_it_was_shown(again: list[bytes], fails: bool):
    kept = MemoryStore()
    store = FaultyStore(kept)
    async with hub_on(store, Play([start(), half("ab")]), Play([start(), *again])) as hub:
        hub.journal._retry_s = 0.01
        stream = begin(hub, restart=1)
        store.fails = fails
        ending = await stream.run.ended()
        store.fails = False
        await until(lambda: hub.journal.is_kept(stream.id))
    found = await read_again(kept, stream)
    assert (found.run.ending, found.run.log.encoded()) == (ending, stream.run.log.encoded())
