"""The minutes: what was recorded, in sentences, to those who may read it and when."""

from decimal import Decimal
from typing import Any

import pytest
from pytest_django import Settings

from pitches import services
from pitches.models import Force, MoveKind, OverrideCategory, Pitch
from pitches.selectors.board import board_of, board_state
from pitches.selectors.minutes import Minutes, minutes_of
from teams.models import User
from tests.cast import Company
from tests.pages import page_of
from tests.pitches.crowd import deciding
from tests.pitches.stage import Stage, open_stage, queries_of

pytestmark = pytest.mark.django_db
REASON = "The regulator asked for exactly this one, and it cannot wait for the next round."
COMMITTEE = {"dee", "eli", "fay", "gil"}


@pytest.fixture
def stage(company: Company, settings: Settings) -> Stage:
    """Give a round of 20,000 dollars that deliberates over six pitches."""
    settings.BOARD_SECONDS = 60
    stage = open_stage(company, cap="20000")
    deciding(stage, 6)
    return stage


def sent(answer: Any) -> str:
    """Return a streamed file."""
    return b"".join(answer.streaming_content).decode()


def at(stage: Stage, path: str = "minutes/") -> str:
    return f"/admin/pitches/round/{stage.round.pk}/{path}"


def told(minutes: Minutes) -> list[str]:
    return [f"{entry.who.split()[0]} {entry.text}" for entry in minutes.shown]


def move(stage: Stage, actor: User, kind: MoveKind, **changes: object) -> None:
    version = board_state(stage.round).version
    services.board_move(actor=actor, round_=stage.round, version=version, kind=kind, **changes)  # type: ignore[arg-type]


def cheapest_in(stage: Stage) -> Pitch:
    rows = [row for row in board_of(stage.company.gil, stage.round).rows if row.is_in]
    return Pitch.objects.select_related("round").get(pk=min(rows, key=lambda row: row.cost or Decimal(0)).pk)


def publish(stage: Stage) -> None:
    services.selection_run(actor=stage.company.gil, round_=stage.round)
    services.selection_adopt(actor=stage.company.gil, round_=stage.now())
    services.round_publish(actor=stage.company.gil, round_=stage.now())
    stage.now()


def test_they_tell_the_round_from_its_opening_in_plain_sentences(stage: Stage, company: Company) -> None:
    assert told(minutes_of(company.gil, stage.round)) == [
        "Gil opened the round: The first quarter.",
        "Gil closed the round for pitches; the reviews began.",
        "Gil ended the reviews and opened the vote.",
        "Gil closed the vote.",
        "Gil opened 24 ballots at once.",
    ]
    assert minutes_of(company.gil, stage.round).facts["ballots"] == 24


def test_every_move_is_told_with_what_came_of_it(stage: Stage, company: Company) -> None:
    pitch = cheapest_in(stage)
    move(stage, company.dee, MoveKind.FORCE_OUT, pitch=pitch)
    services.board_note(actor=company.eli, round_=stage.round, text="It can wait.", pitch=pitch)

    *_, held, noted = minutes_of(company.gil, stage.round).entries

    board = board_of(company.gil, stage.round)
    count = f"{board.count} {'pitch' if board.count == 1 else 'pitches'}"
    assert held.move is not None
    assert held.move.price is not None
    assert held.text == (
        f"held “{pitch.title}” out, at a price of ${held.move.price:,.2f} of worth: {count} for "
        f"${board.cost:,.2f}, worth ${board.worth:,.2f}, proved optimal."
    )
    assert (noted.who, noted.text) == ("Eli Example", f"noted about “{pitch.title}”: It can wait.")


def test_steps_of_a_slider_are_one_line_to_read_and_each_one_in_the_file(stage: Stage, company: Company) -> None:
    for cap in (9000, 8000, 7000):
        move(stage, company.gil, MoveKind.SLIDE, cap=Decimal(cap))
    move(stage, company.dee, MoveKind.SLIDE, cap=Decimal(6000))

    minutes = minutes_of(company.gil, stage.round)

    assert [(entry.who, entry.steps) for entry in minutes.shown[-2:]] == [("Gil Example", 3), ("Dee Example", 1)]
    assert "tried a cap of $7,000.00" in minutes.shown[-2].text
    lines = sent(company.client(company.gil).get(at(stage, "minutes.csv")))
    assert lines.count("tried a cap of") == 4
    assert minutes.present == {"Gil Example": 3, "Dee Example": 1}


def test_overrides_the_choice_and_the_publication_are_told(company: Company, settings: Settings) -> None:
    settings.BOARD_SECONDS = 60
    stage = open_stage(company, cap="200000", funded="500000")
    deciding(stage, 6)
    pitch = cheapest_in(stage)
    override = services.override_propose(
        actor=company.dee, pitch=pitch, force=Force.OUT, category=OverrideCategory.LAW, reason=REASON
    )
    services.override_sign(actor=company.eli, override=override)
    publish(stage)

    lines = told(minutes_of(company.gil, stage.round))[5:]

    price = f"${override.price:,.2f}"
    assert lines[0] == f"Dee proposed an override to leave out “{pitch.title}” at a price of {price} of worth: {REASON}"
    assert lines[1].startswith(f"Eli signed the override to leave out “{pitch.title}” at a price of {price}")
    assert lines[2] == "Gil ran the exact choice, number 1, to adopt."
    assert lines[3] == "Gil made tentative decisions on 6 pitches from choice 1."
    assert lines[4].startswith("Gil published every decision at once (")
    assert len(lines) == 5


def test_a_recused_member_reads_their_pitches_only_once_it_is_published(stage: Stage, company: Company) -> None:
    pitch = cheapest_in(stage)
    services.recusal_declare(actor=company.fay, pitch=pitch, reason="My sister leads that team.")
    move(stage, company.gil, MoveKind.FORCE_OUT, pitch=pitch)
    move(stage, company.gil, MoveKind.FREE, pitch=pitch)
    move(stage, company.gil, MoveKind.SLIDE, cap=Decimal(9000))

    before = minutes_of(company.fay, stage.round)

    assert told(before)[-1] == "Gil tried a cap of $9,000.00."
    assert not any(pitch.title in line for line in told(before))
    assert (before.left_out, before.facts["ballots"]) == (3, 20)
    content = company.client(company.fay).get(at(stage)).content.decode()
    assert pitch.title not in content
    assert "3 entries about pitches that you are recused from are left out" in content
    csv = sent(company.client(company.fay).get(at(stage, "minutes.csv")))
    assert pitch.title not in csv
    assert csv.splitlines()[-1].endswith(",9000,,,,,")

    publish(stage)
    after = minutes_of(company.fay, stage.round)
    assert after.left_out == 0
    assert sum(pitch.title in line for line in told(after)) == 3


@pytest.mark.parametrize("name", ["ana", "cy", "dee", "eli", "fay", "gil", "hana", "ivo", "jo", "kim"])
def test_the_committee_reads_them_at_once_and_the_house_when_it_is_published(
    company: Company, settings: Settings, name: str
) -> None:
    settings.BOARD_SECONDS = 60
    stage = open_stage(company)
    pitch = stage.submitted()
    stage.to_decide(pitch)
    path = f"/api/v1/rounds/{stage.round.pk}/minutes/"
    client = company.client(company.person(name))

    before = client.get(path).status_code
    stage.fund(pitch)
    services.round_publish(actor=company.gil, round_=stage.round)

    assert before == (200 if name in COMMITTEE else 404)
    assert client.get(path).status_code == (200 if name in COMMITTEE | {"hana", "jo"} else 404)


def test_times_stand_in_the_rounds_own_zone(stage: Stage, company: Company) -> None:
    stage.round.time_zone = "Asia/Tokyo"
    stage.round.save()

    page = page_of(company.client(company.dee).get(at(stage)))

    assert "times in Asia/Tokyo" in page.text
    assert all(time.attrs["datetime"].endswith("+09:00") for time in page.all("time") if time.within("li"))


def test_programs_read_the_same(stage: Stage, company: Company) -> None:
    answer = company.client(company.dee).get(f"/api/v1/rounds/{stage.round.pk}/minutes/").json()

    minutes = minutes_of(company.dee, stage.round)
    assert [entry["text"] for entry in answer["entries"]] == [entry.text for entry in minutes.entries]
    assert answer["left_out"] == 0


def test_more_moves_ask_no_more_queries(stage: Stage, company: Company) -> None:
    client = company.client(company.dee)
    move(stage, company.gil, MoveKind.FORCE_OUT, pitch=cheapest_in(stage))
    few = queries_of(client, at(stage))
    for row in board_of(company.gil, stage.round).rows[:3]:
        if row.may_move and row.held != "out":
            move(stage, company.gil, MoveKind.FORCE_OUT, pitch=Pitch.objects.select_related("round").get(pk=row.pk))

    assert queries_of(client, at(stage)) == few
