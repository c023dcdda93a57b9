"""What changed between two texts: readable, and never a word lost."""

from hypothesis import given
from hypothesis import strategies as st

from pitches.diff import GONE, NEW, SAME, Change, Fact, Piece, facts_changed, words_changed


def test_a_change_is_told_word_by_word() -> None:
    assert words_changed("Two people read every claim.", "Three people read every claim twice.") == (
        Piece(GONE, "Two"),
        Piece(NEW, "Three"),
        Piece(SAME, " people read every claim"),
        Piece(NEW, " twice"),
        Piece(SAME, "."),
    )


def test_only_facts_that_differ_are_told_and_those_that_are_gone_come_last() -> None:
    before = [Fact("Title", "Triage"), Fact("Metric", "Minutes"), Fact("Milestone 2", "Done by May")]
    after = [Fact("Title", "Triage"), Fact("Metric", "Hours")]

    assert facts_changed(before, after) == [
        Change("Metric", (Piece(GONE, "Minutes"), Piece(NEW, "Hours"))),
        Change("Milestone 2", (Piece(GONE, "Done by May"),)),
    ]


@given(st.text(max_size=200), st.text(max_size=200))
def test_both_texts_can_be_read_back_from_the_pieces(before: str, after: str) -> None:
    pieces = words_changed(before, after)

    assert "".join(piece.text for piece in pieces if piece.kind != NEW) == before
    assert "".join(piece.text for piece in pieces if piece.kind != GONE) == after


@given(st.text(max_size=200))
def test_a_text_does_not_differ_from_itself(text: str) -> None:
    assert {piece.kind for piece in words_changed(text, text)} <= {SAME}
