"""Pitches like one another: found by their words, shown only to those who may know of them, with every word escaped."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from pitches import services
from pitches.models import Outcome, Pitch
from pitches.selectors.similar import (
    BEGIN,
    END,
    FOUND,
    Match,
    Words,
    headline_pieces,
    pitches_found,
    pitches_known_to,
    pitches_similar,
    words_of_draft,
    words_of_revision,
)
from teams.models import User
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, page_of
from tests.pitches.stage import ITEM, Stage, of, queries_of, typed

pytestmark = pytest.mark.django_db

TEAM, COMMITTEE, READERS = {"ana", "bo", "kim"}, {"dee", "eli", "fay", "gil"}, {"hana", "jo"}
LETTERS: dict[str, Any] = {
    "summary": "Drafts of letters to customers about their invoices.",
    "problem": "Writing takes a clerk nine minutes each.",
}


def alike(person: User, words: Words, *besides: Pitch) -> list[tuple[str, Decimal | None]]:
    matches = pitches_similar(person, words, besides={pitch.pk for pitch in besides})
    return [(match.title, match.alike) for match in matches]


def titles(matches: list[Match]) -> list[str]:
    return [match.title for match in matches]


# --- How alike ----------------------------------------------------------------------------------


def test_the_same_words_are_wholly_alike_and_others_not_at_all(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.submitted("Letters by machine", **LETTERS)

    assert alike(company.ana, words_of_revision(pitch.submitted)) == [("Claims triage", Decimal("1.00"))]
    assert alike(company.ana, words_of_revision(pitch.submitted), pitch) == []


def test_word_forms_do_not_matter(stage: Stage, company: Company) -> None:
    stage.submitted("Sorting incoming claims")

    [(title, close)] = alike(company.ana, Words("Sort the incoming claim", "", ""))

    assert (title, close) == ("Sorting incoming claims", Decimal("1.00"))


def test_likeness_is_twice_what_is_common_over_both(stage: Stage, company: Company) -> None:
    """Stems: {letter, custom, invoic} and {letter, custom, refund, late}: 2 · 2 / (3 + 4)."""
    stage.submitted("Letters: customers, invoices", **LETTERS)

    assert alike(company.ana, Words("Letters, customers, refunds, late", "", "")) == [
        ("Letters: customers, invoices", Decimal("0.57"))
    ]


def test_one_common_word_says_nothing(stage: Stage, company: Company) -> None:
    stage.submitted("Letters by machine", **LETTERS)

    assert alike(company.ana, Words("Letters of credit", "", "")) == []


def test_the_closest_comes_first_and_five_are_enough(stage: Stage, company: Company) -> None:
    for number in ("one", "two", "three", "four", "five"):
        stage.submitted(f"Triage of claims, desk {number}")
    stage.submitted("Triage of claims, desk six", summary="Something else.", problem="Nothing in common.")

    found = alike(company.ana, Words("Triage of claims, desk three", "", ""))

    assert found[0] == ("Triage of claims, desk three", Decimal("1.00"))
    assert len(found) == 5


def test_workflows_count_too(stage: Stage, company: Company) -> None:
    pitch = stage.submitted(items=(replace(ITEM, workflow="Subrogation lookup"),))

    assert pitch.submitted.workflows == "Subrogation lookup"
    assert titles(pitches_found(company.ana, "subrogation")) == ["Claims triage"]


@pytest.mark.parametrize("text", ["", "the of and", "'", "\\", "a' | 'b", "x:*A & !y", "\x00\x02\x03", "<-> & |", "%s"])
def test_no_words_are_too_odd(stage: Stage, company: Company, text: str) -> None:
    stage.submitted()

    assert pitches_similar(company.ana, Words(text, text, text), besides=set()) == []
    assert pitches_found(company.ana, text) == []


# --- Who may know -------------------------------------------------------------------------------


def reads(company: Company) -> set[str]:
    return {name for name in PEOPLE if pitches_known_to(company.person(name)).whole}


def knows_of(company: Company) -> set[str]:
    return {name for name in PEOPLE if pitches_known_to(company.person(name)).titles}


def publish(stage: Stage, *pitches: Pitch) -> None:
    """Decline some pitches of a round that is under review, and publish."""
    stage.to_decide(*pitches)
    for pitch in pitches:
        services.decision_set(
            actor=stage.company.gil, pitch=pitch, outcome=Outcome.DECLINE, reason="Others are worth more."
        )
    services.round_publish(actor=stage.company.gil, round_=stage.round)
    stage.now()


def test_a_draft_is_known_to_its_team_alone(stage: Stage, company: Company) -> None:
    pitch = stage.pitch("Letters by machine")
    services.draft_save(actor=company.ana, pitch=pitch, typed=typed(company.kim, title="Letters"), version=0)

    assert (reads(company), knows_of(company)) == ({"ana", "bo"}, set())
    assert titles(pitches_found(company.bo, "triage")) == ["Letters"]
    assert alike(company.bo, Words("", "An agent sorts what comes in by urgency", "")) != []


def test_a_submission_is_read_by_its_own_until_its_round_closes_and_then_by_who_may_open_it(
    stage: Stage, company: Company
) -> None:
    stage.submitted()
    assert (reads(company), knows_of(company)) == (TEAM, set())

    stage.to_review()

    assert (reads(company), knows_of(company)) == (TEAM | COMMITTEE | READERS, set())


def test_a_peek_opens_the_words_to_who_peeked(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()

    stage.peek(company.dee, pitch)

    assert reads(company) == TEAM | {"dee"}


def test_once_decisions_are_published_everybody_knows_of_a_pitch(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()

    publish(stage, pitch)

    assert (reads(company), knows_of(company)) == (TEAM | COMMITTEE | READERS, {"cy", "ivo"})


@pytest.mark.parametrize("end", ["withdrawn", "cancelled"])
def test_what_left_its_round_is_not_made_known(stage: Stage, company: Company, end: str) -> None:
    pitch = stage.submitted()
    stage.to_review()
    if end == "withdrawn":
        services.pitch_withdraw(actor=company.ana, pitch=pitch, reason="Bought instead")
    else:
        services.round_cancel(actor=company.gil, round_=stage.round, reason="No budget")

    assert knows_of(company) == set()


def test_a_member_is_not_shown_what_they_are_recused_from(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    services.recusal_declare(actor=company.eli, pitch=pitch, reason="My brother works there")

    assert (reads(company), knows_of(company)) == ((TEAM | COMMITTEE | READERS) - {"eli"}, set())
    assert pitches_found(company.eli, "claims") == []
    assert titles(pitches_found(company.dee, "claims")) == ["Claims triage"]


def test_a_stranger_learns_of_a_published_pitch_and_cannot_open_it(stage: Stage, company: Company) -> None:
    pitch, cy = stage.submitted(), company.client(company.cy)
    stage.to_review()
    assert "Nothing found" in page_of(cy.get("/pitches/?q=claims")).one("main").text
    publish(stage, pitch)

    page = cy.get("/pitches/?q=claims")

    assert_readable(page)
    matches = page_of(page).one("ul", class_="matches")
    assert " ".join(matches.text.split()) == f"Claims triage {pitch.number} · Claims · Q1 · Declined"
    assert not matches.all("a")
    assert titles(pitches_found(company.cy, pitch.number)) == ["Claims triage"]


@pytest.mark.parametrize("text", ["urgency", '"two people"', "triage -urgency -people"])
def test_a_stranger_cannot_tell_by_searching_what_a_pitch_says(stage: Stage, company: Company, text: str) -> None:
    pitch, bare = stage.submitted(), stage.submitted("Triage of letters", **LETTERS)
    publish(stage, pitch, bare)

    by_title = ["Triage of letters", "Claims triage"] if text.startswith("triage") else []
    assert sorted(titles(pitches_found(company.cy, text))) == sorted(by_title)
    assert all(match.pieces == () for match in pitches_found(company.cy, text))
    assert alike(company.cy, Words("", "An agent sorts what comes in by urgency", "")) == []


def test_to_a_stranger_titles_are_alike_and_nothing_else(stage: Stage, company: Company) -> None:
    """Stems: {claim, triag} and {claim, triag, motor}: 2 · 2 / (2 + 3)."""
    pitch = stage.submitted()
    publish(stage, pitch)
    said = Words("Claims triage for motor", pitch.submitted.summary, "")

    [match] = pitches_similar(company.cy, said, besides=set())

    assert (match.alike, match.pieces, match.may_open) == (Decimal("0.80"), (), False)


def test_what_was_typed_since_the_submission_stays_with_the_team(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_review()
    services.pitch_return(actor=company.dee, pitch=pitch, note="How was it measured?")
    words = typed(company.kim, title="Claims triage and a secret")
    services.draft_save(actor=company.ana, pitch=pitch, typed=words, version=0)

    assert titles(pitches_found(company.fay, "claims")) == ["Claims triage"]
    assert pitches_found(company.fay, "secret") == []


# --- What is shown ------------------------------------------------------------------------------


def test_the_words_that_were_found_are_marked_and_everything_is_escaped(stage: Stage, company: Company) -> None:
    stage.submitted("Claims <i>triage</i>", summary=f"Sorts <script>alert(1)</script> {BEGIN}claims{END} & more.")

    page = company.client(company.ana).get("/pitches/?q=claims")

    words = page.content.decode()
    assert "<script>alert" not in words
    assert "Claims &lt;i&gt;triage&lt;/i&gt;</a>" in words
    assert "<mark>Claims</mark>" in words
    assert "<mark>claims</mark> &amp; more" in words
    assert_readable(page)


@given(st.lists(st.tuples(st.booleans(), st.text(st.characters(exclude_characters=BEGIN + END), min_size=1))))
def test_a_headline_is_its_pieces(parts: list[tuple[bool, str]]) -> None:
    pieces = headline_pieces("".join(f"{BEGIN}{text}{END}" if found else text for found, text in parts))

    assert "".join(piece.text for piece in pieces) == "".join(text for _, text in parts)
    assert [piece.text for piece in pieces if piece.kind == FOUND] == [text for found, text in parts if found]


def test_while_writing_similar_pitches_stand_beside_the_form(stage: Stage, company: Company) -> None:
    stage.submitted()
    pitch, ana = stage.pitch("Reading letters"), company.client(company.ana)
    assert "Nothing like it so far" in page_of(ana.get(of("edit/", pitch))).one(id="similar").text
    services.draft_save(actor=company.ana, pitch=pitch, typed=typed(company.kim), version=0)

    part = ana.get(of("similar/", pitch))

    assert "likely duplicate, 100 % alike" in part.content.decode()
    assert_readable(ana.get(of("edit/", pitch)))
    assert company.client(company.dee).get(of("similar/", pitch)).status_code == 404


def test_the_committee_sees_likely_duplicates_and_what_came_of_them(stage: Stage, company: Company) -> None:
    first, second = stage.submitted(), stage.submitted("Claims triage again")
    services.recusal_declare(actor=company.eli, pitch=first, reason="My brother works there")
    services.recusal_declare(actor=company.fay, pitch=second, reason="I am joining that team")
    stage.to_review()
    read = f"/admin/pitches/round/pitch/{second.pk}/"

    assert "likely duplicate" in company.client(company.dee).get(read).content.decode()
    assert "Nothing like it" in company.client(company.eli).get(read).content.decode()
    assert "Similar pitches" not in company.client(company.fay).get(read).content.decode()


def test_a_search_finds_by_number_by_phrase_and_without_words(stage: Stage, company: Company) -> None:
    first, second = stage.submitted(), stage.submitted("Letters by machine", **LETTERS)
    found = {
        text: titles(pitches_found(company.ana, text))
        for text in (first.number, second.number.lower(), '"nine minutes"', "letters -claims", "triage or letters")
    }

    assert found == {
        first.number: ["Claims triage"],
        second.number.lower(): ["Letters by machine"],
        '"nine minutes"': ["Letters by machine"],
        "letters -claims": ["Letters by machine"],
        "triage or letters": ["Letters by machine", "Claims triage"],
    }
    empty = company.client(company.ana).get("/pitches/?q=unicorns")
    assert "Nothing found" in page_of(empty).one("main").text
    assert_readable(empty)


def test_more_pitches_ask_no_more_of_the_database(stage: Stage, company: Company) -> None:
    stage.submitted()
    draft, ana = stage.pitch(), company.client(company.ana)
    read = f"/admin/pitches/round/pitch/{Pitch.objects.earliest('pk').pk}/"
    gil = company.client(company.gil)
    stage.submitted("Claims triage again")
    for pitch in Pitch.objects.exclude(current=None):
        stage.peek(company.gil, pitch)

    def counts() -> list[int]:
        return [
            queries_of(ana, "/pitches/?q=claims"),
            queries_of(ana, of("similar/", draft)),
            queries_of(ana, "/api/v1/pitches/search/?q=claims"),
            queries_of(gil, read),
        ]

    before = counts()
    for title in ("Claims triage for motor", "Claims triage for travel"):
        stage.peek(company.gil, stage.submitted(title))

    assert counts() == before


def test_programs_search_and_compare(stage: Stage, company: Company) -> None:
    pitch, other = stage.submitted(), stage.submitted("Claims triage renewed")
    publish(stage, pitch, other)

    [one] = company.client(company.ana).get(f"/api/v1/pitches/{pitch.pk}/similar/").json()
    assert {name: one[name] for name in ("id", "team", "outcome", "may_open")} == {
        "id": other.pk,
        "team": "claims",
        "outcome": "Declined",
        "may_open": True,
    }
    assert one["alike"] >= "0.9"
    found = company.client(company.cy).get("/api/v1/pitches/search/?q=renewal").json()
    assert [(row["title"], row["may_open"], row["excerpt"], row["words"]) for row in found] == [
        ("Claims triage renewed", False, "", [])
    ]
    assert company.client(company.cy).get(f"/api/v1/pitches/{pitch.pk}/similar/").status_code == 404


def test_the_words_of_a_draft_are_its_title_text_and_workflows(company: Company) -> None:
    words = words_of_draft(typed(company.kim))

    assert words == Words(
        "Claims triage", "An agent sorts what comes in by urgency. Two people read every claim first.", "Triage"
    )


def test_the_index_finds_the_words(stage: Stage, company: Company) -> None:
    stage.submitted()

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(
            "EXPLAIN SELECT id FROM pitches_pitchrevision WHERE search @@ to_tsquery('pg_catalog.english', 'claims')"
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "revision_by_words" in plan
