"""The sentence model beside the server's loop.

It runs in one thread of its own. numpy releases the interpreter lock in every heavy step,
so the loop goes on meanwhile (docs/engine.md has the figure). A process would cost 35 MB, a
protocol and a supervisor, only to confine text that is bounded anyway. The thread has no
lower priority: it could be suspended while it holds the lock, and the loop would wait for
it. Texts go a few at a time, so that a question never waits for a library.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import ApiError

if TYPE_CHECKING:
    from engine.sentences.bert import Matrix
    from engine.sentences.encoder import Encoder

WHY = (
    "This engine was started without weights for embeddings, and gives no numbers in their place:"
    " `fanlight models fetch meaning` fetches them (all-MiniLM-L6-v2, 91 MB), and the next start finds them."
    " Vectors of marengo3.0 are made by the TwelveLabs cloud only."
)


# The next caller waits for no more texts than these.
AT_ONCE = 8


class Meaning:
    """Make vectors of texts, if there are weights.

    Args:
        weights: a directory that ``engine.weights.MEANING`` has approved; None for words only.
    """

    def __init__(self, weights: Path | None) -> None:
        self.weights = weights
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="meaning")

    @property
    def available(self) -> bool:
        return self.weights is not None

    def need(self, what: str) -> None:
        """Require weights.

        Raises:
            ApiError: ``parameter_invalid``; it says that ``what`` cannot be served, and what would change that.
        """
        if self.weights is None:
            raise ApiError("parameter_invalid", f"{what} cannot be served. {WHY}")

    async def vectors(self, texts: Sequence[str]) -> "Matrix":
        """Return a row of length 1 for each text (at least one); of a longer text the first 256 pieces count."""
        loop = asyncio.get_running_loop()
        parts = [
            await loop.run_in_executor(self._thread, self._encode, texts[at : at + AT_ONCE])
            for at in range(0, len(texts), AT_ONCE)
        ]
        return parts[0] if len(parts) == 1 else await asyncio.to_thread(_joined, parts)

    async def length(self, text: str) -> int:
        """Return how many pieces a text has, its two ends included; at most 257."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._encoder.length(text))

    def _encode(self, texts: Sequence[str]) -> "Matrix":
        return self._encoder.encode(texts)

    def close(self) -> None:
        """Wait for the text in progress; drop the texts that wait behind it."""
        self._thread.shutdown(cancel_futures=True)

    @cached_property
    def _encoder(self) -> "Encoder":
        # numpy is loaded for the first text that needs it, not while the engine starts.
        from engine.sentences.encoder import Encoder

        assert self.weights is not None
        return Encoder.load(self.weights)


def _joined(parts: "Sequence[Matrix]") -> "Matrix":
    import numpy as np

    return np.concatenate(parts)
