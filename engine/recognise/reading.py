"""What was read of a stretch of voice, cut where a reader of captions would: at sentences, within two lines."""

from collections.abc import Iterator

from engine.recognise.whisper import Words

# Two lines of subtitles.
MAX_CHARACTERS = 84
_ENDS = (".", "?", "!", "…")
_PARTS = (",", ";", ":", "–", "-")
# What a part of a sentence often begins with; a line should not end with it, nor with an article.
_BEGINNINGS = frozenset({
    "about", "after", "although", "and", "are", "as", "at", "because", "been", "before", "but", "by", "can",
    "for", "from", "had", "has", "have", "if", "in", "into", "is", "on", "or", "over", "so", "that",
    "their", "them", "then", "there", "they", "through", "to", "under", "until", "was", "were", "what",
    "when", "where", "which", "while", "who", "will", "with", "without", "would",
})  # fmt: skip
_NEVER_LAST = _BEGINNINGS | {"a", "an", "of", "the"}
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


def whole_part(words: Words) -> Words:
    """Return the words up to the last that a caption may end with."""
    ends = [n for n, (word, *_) in enumerate(words, 1) if word.lower() not in _NEVER_LAST]
    return words[: ends[-1]] if ends else []


def _split(piece: Words) -> tuple[Words, Words]:
    """Cut a full piece: behind a comma, else before a word that begins a part, else before the longest pause."""
    late = [n for n in range(1, len(piece)) if _length(piece[:n]) >= _LEAST * MAX_CHARACTERS]
    commas = [n for n in late if piece[n - 1][0].endswith(_PARTS)]
    parts = [n for n in late if piece[n][0].lower() in _BEGINNINGS and piece[n - 1][0].lower() not in _NEVER_LAST]
    if at := (commas or parts)[-1:]:
        return piece[: at[0]], piece[at[0] :]
    pauses = {n: piece[n][1] - piece[n - 1][2] for n in late}
    longest = max(pauses, key=lambda n: pauses[n], default=len(piece))
    if pauses.get(longest, 0.0) < 0.1:
        return piece, []
    return piece[:longest], piece[longest:]


def _length(words: Words) -> int:
    return sum(len(word[0]) + 1 for word in words) - 1
