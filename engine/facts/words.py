"""How words are told apart: which are common, which stand out, which are found by a question.

A library's search and an answer about a subject find the same words, so both take their
table of words from here (SQLite FTS5, stems).
"""

import re
from collections import Counter
from collections.abc import Iterable

from engine.facts.facts import Utterance

_MOST = 10
_SURE = 0.5  # a keyword that the recogniser doubts would mislead
_SHORTEST = 4

COMMON = frozenset({
    "about", "above", "after", "again", "against", "all", "also", "always", "and", "another", "any",
    "are", "around", "away", "back", "because", "been", "before", "being", "below", "between", "both",
    "but", "came", "can", "come", "could", "did", "does", "doing", "done", "down", "each", "even", "ever",
    "every", "few", "for", "from", "gets", "goes", "going", "gone", "got", "had", "has", "have", "having",
    "here", "hers", "herself", "himself", "his", "how", "into", "its", "itself", "just", "know", "like",
    "look", "made", "make", "many", "maybe", "more", "most", "much", "must", "myself", "near", "never",
    "next", "nothing", "not", "now", "off", "often", "once", "one", "only", "onto", "other", "our",
    "ours", "out", "over", "really", "right", "said", "same", "say", "says", "see", "seen", "shall",
    "she", "should", "since", "some", "something", "still", "such", "take", "than", "that", "the",
    "their", "theirs", "them", "themselves", "then", "there", "these", "they", "thing", "things", "think",
    "this", "those", "through", "today", "together", "too", "took", "two", "under", "until", "upon",
    "very", "want", "was", "way", "well", "went", "were", "what", "when", "where", "which", "while",
    "who", "whom", "whose", "why", "will", "with", "within", "without", "would", "yeah", "year", "years",
    "yes", "yet", "you", "your", "yours", "yourself",
})  # fmt: skip
_ALWAYS_COMMON = frozenset({"a", "an", "in", "is", "it", "of", "on", "or", "to", "i", "at", "by", "as", "be"})
_WORD = re.compile(r"\w+")
_EDGES = re.compile(r"^\W+|\W+$|['’]s$")

# Words are found by their stems.
WORDS_TABLE = "CREATE VIRTUAL TABLE IF NOT EXISTS passage_words USING fts5 (text, tokenize = 'porter unicode61');"


def keywords_of(utterances: Iterable[Utterance]) -> list[str]:
    """Return up to ten words, the most frequent first, then in order of appearance; small where they ever stood so."""
    counts: Counter[str] = Counter()
    spelled: dict[str, str] = {}
    for one in utterances:
        for word in one.words or () if one.understood else ():
            plain = _EDGES.sub("", word.text)
            name = plain.lower()
            if word.confidence < _SURE or len(name) < _SHORTEST or name in COMMON:
                continue
            counts[name] += 1
            spelled[name] = name if plain == name else spelled.get(name, plain)
    return [spelled[name] for name, _ in counts.most_common(_MOST)]


def word_query(text: str) -> str:
    """Return an FTS5 query: any of the words that carry meaning, each taken literally."""
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))
    telling = [word for word in words if word not in COMMON and word not in _ALWAYS_COMMON]
    return " OR ".join(f'"{word}"' for word in telling or words) or '""'
