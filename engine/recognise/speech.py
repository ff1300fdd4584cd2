"""What is said: the near end of the pipe to ``engine.recognise.listener``.

Ears are made only where there is a model to hear with (``engine.senses``).
"""

from collections.abc import Sequence

from engine.facts.facts import Heard, Utterance, Word
from engine.facts.samples import Samples
from engine.recognise.companion import Companion

_WAITING_BLOCKS = 128  # about two minutes of sound
_BLOCK_BYTES = 32_000


class Ears:
    """A listener process, warming up from the moment it is made; good for one sound track.

    Args:
        arguments: the listener's.
    """

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self._listener = Companion("engine.recognise.listener", arguments, "speech recogniser", _WAITING_BLOCKS)
        self._block = bytearray()
        self._start = 0.0
        self.done = False

    @property
    def pid(self) -> int:
        return self._listener.pid

    def begin(self, start: float) -> None:
        """Say at which time of the clip the first sample stands."""
        self._start = start

    def hear(self, samples: Samples) -> None:
        """Hand over samples; waits while too many are unheard."""
        self._block += samples.tobytes()
        if len(self._block) >= _BLOCK_BYTES:
            self._give()

    def finish(self) -> None:
        """No more samples will come."""
        if self._block:
            self._give()
        self._listener.give(b"")

    def read(self, wait: bool = False) -> list[Utterance | Heard]:
        """Return what has been heard since the last call; with ``wait``, at least one fact or the end.

        Raises:
            ApiError: the listener, or one of its recognisers, died.
        """
        facts: list[Utterance | Heard] = []
        while not self.done:
            message = self._listener.take(wait and not facts)
            if message is None:
                break
            if "heard" in message:
                facts.append(Heard(self._start + message["heard"]))
            elif "utterance" in message:
                facts.append(self._utterance(*message["utterance"]))
            else:
                self.done = True
        return facts

    def close(self) -> None:
        self._listener.close()

    def _utterance(
        self, start: float, end: float, words: list[tuple[str, float, float, float]], language: str
    ) -> Utterance:
        return Utterance(
            start=self._start + start,
            end=self._start + end,
            words=tuple(Word(text, self._start + at, self._start + to, sure) for text, at, to, sure in words),
            language=language,
        )

    def _give(self) -> None:
        self._listener.give(bytes(self._block))
        self._block.clear()
