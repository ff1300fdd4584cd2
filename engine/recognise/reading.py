"""What was read of a stretch of voice, cut where a reader of captions would: at sentences, within two lines."""

from collections.abc import Iterator

from engine.recognise.whisper import Words

# Two lines of subtitles.
MAX_CHARACTERS = 84
_ENDS = (".", "?", "!", "…")
_PARTS = (",", ";", ":", "–", "-")
# A piece that is cut within a sentence has at least so much of what there is room for.
_LEAST = 0.5


def cut(words: Words) -> Iterator[Words]:
    """Yield the words of a stretch in pieces that each make a caption; none is lost."""
    piece: Words = []
    for word in words:
        if piece and _length([*piece, word]) > MAX_CHARACTERS:
            head, piece = _split(piece)
            yield head
        piece.append(word)
        if word[0].endswith(_ENDS):
            yield piece
            piece = []
    if piece:
        yield piece


def _split(piece: Words) -> tuple[Words, Words]:
    """Cut a piece that is full: behind a comma, else before its longest pause."""
    room = _LEAST * MAX_CHARACTERS
    late = [n for n in range(1, len(piece)) if _length(piece[:n]) >= room]
    commas = [n for n in late if piece[n - 1][0].endswith(_PARTS)]
    if commas:
        return piece[: commas[-1]], piece[commas[-1] :]
    pauses = {n: piece[n][1] - piece[n - 1][2] for n in late}
    longest = max(pauses, key=lambda n: pauses[n], default=len(piece))
    if pauses.get(longest, 0.0) < 0.1:
        return piece, []
    return piece[:longest], piece[longest:]


def _length(words: Words) -> int:
    return sum(len(word[0]) + 1 for word in words) - 1
