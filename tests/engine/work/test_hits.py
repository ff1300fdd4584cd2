"""How lists of hits become one."""

from engine.work.hits import Hit, grouped, joined


def spans(hits: list[Hit]) -> list[tuple[str, float, float, int]]:
    return [(one.video_id, one.start, one.end, one.rank) for one in hits]


def test_what_stands_high_in_two_lists_comes_first() -> None:
    words = [Hit("a", 0, 1), Hit("b", 0, 1), Hit("c", 0, 1)]
    looks = [Hit("b", 0, 1), Hit("d", 0, 1)]
    hits = joined({"visual": [words, looks]}, "or")
    assert [one.video_id for one in hits] == ["b", "a", "d", "c"]
    assert [one.rank for one in hits] == [1, 2, 3, 4]


def test_and_cuts_hits_to_what_all_options_share() -> None:
    lists = {"visual": [[Hit("a", 0, 4), Hit("b", 0, 4)]], "audio": [[Hit("a", 3, 6, "word"), Hit("a", 8, 9)]]}
    hits = joined(lists, "and")
    assert spans(hits) == [("a", 3, 4, 1)]
    assert hits[0].transcription == "word"
    assert joined({"visual": [[Hit("a", 0, 4)]], "audio": [[]]}, "and") == []


def test_stretches_that_only_touch_share_nothing() -> None:
    assert joined({"visual": [[Hit("a", 0, 4)]], "audio": [[Hit("a", 4, 6)]]}, "and") == []


def test_groups_are_ordered_by_their_best_hit() -> None:
    hits = joined({"visual": [[Hit("b", 0, 1), Hit("a", 0, 1), Hit("b", 2, 3)]]}, "or")
    assert [(one["id"], len(one["clips"])) for one in grouped(hits)] == [("b", 2), ("a", 1)]
