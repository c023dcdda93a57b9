"""The board: shared by all who look, moved by members without a conflict, and silent to those who have one."""

from decimal import Decimal

import psycopg
import pytest
from django.db import DatabaseError, transaction
from pytest_django import Settings

from pitches import services
from pitches.models import (
    BoardForce,
    BoardMove,
    BoardState,
    Decision,
    Force,
    MoveKind,
    Override,
    OverrideCategory,
    Pitch,
)
from pitches.selection.exact import solve
from pitches.selectors.board import BoardRow, board_state, engine_for, stamp_of
from pitches.selectors.comparison import comparison_of, curve_of
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent
from tests.cast import Company
from tests.pages import page_of
from tests.pitches.boards import at, move, one_in, one_out, recuse, seen, stage_of_board
from tests.pitches.crowd import deciding
from tests.pitches.stage import Stage, open_stage

pytestmark = pytest.mark.django_db
REASON = "The regulator asked for exactly this one, and it cannot wait for the next round."


@pytest.fixture
def stage(company: Company, settings: Settings) -> Stage:
    """Give a round of 20,000 dollars that deliberates over ten pitches, which ask for more than twice as much."""
    return stage_of_board(company, settings)


# --- What it shows ------------------------------------------------------------------------------------------------


def test_before_the_first_move_it_shows_the_exact_choice_of_the_round(stage: Stage, company: Company) -> None:
    board = seen(stage, company.gil)

    exact = solve(engine_for(stage.round).problem)
    assert board.is_proved
    assert board.worth * 100 == exact.worth
    assert board.cost * 100 == exact.cost
    assert {row.pk for row in board.rows if row.is_in} == {int(pitch) for pitch, _ in exact.selected}
    assert board.cap == 20000
    assert board.spendable == 18000
    assert board.left == 18000 - board.cost
    assert not BoardState.objects.exists()


def test_what_is_in_comes_first_and_of_both_the_most_disputed(stage: Stage, company: Company) -> None:
    def order(row: BoardRow) -> tuple[bool, Decimal]:
        return not row.is_in, -(row.disagreement or Decimal(0))

    rows = seen(stage, company.gil).rows

    assert [order(row) for row in rows] == sorted(order(row) for row in rows)
    assert [row.is_first_out for row in rows].count(True) == 1
    split = seen(stage, company.gil, sort="split").rows
    assert [row.disagreement for row in split] == sorted((row.disagreement or Decimal(0) for row in rows), reverse=True)


def test_every_row_says_why_in_words_and_marks_the_offer_that_is_taken(stage: Stage, company: Company) -> None:
    rows = seen(stage, company.gil).rows

    assert all(row.why for row in rows)
    assert all(sum(offer.is_taken for offer in row.offers) == row.is_in for row in rows)
    hurdle = stage.round.hurdle
    below = [row for row in rows if all(offer.worth < hurdle * offer.cost for offer in row.offers)]
    assert {row.code for row in below} <= {"below_hurdle"}


def test_an_answer_that_ran_out_of_time_is_not_called_optimal(
    stage: Stage, company: Company, settings: Settings
) -> None:
    settings.BOARD_SECONDS = 0
    caps = [Decimal(cap) for cap in range(7000, 19000, 1000)]

    moves = [move(stage, company.gil, MoveKind.SLIDE, cap=cap) for cap in caps]

    unproved = [made for made in moves if not made.proved]
    assert unproved
    move(stage, company.gil, MoveKind.SLIDE, cap=unproved[-1].cap)
    board = seen(stage, company.gil, seconds=0)
    assert not board.is_proved
    assert board.gap > 0
    page = page_of(company.client(company.gil).get(at(stage.round)))
    assert "not proved: up to $" in page.text
    assert "proved optimal" not in page.one("div", id="board-head").text
    proof = page_of(company.client(company.gil).get(at(stage.round, "live/?proof")))
    assert "proved optimal" in proof.one("div", id="board-head").text


@pytest.mark.parametrize("state", ["voting", "published"])
def test_it_opens_with_the_ballots_and_closes_with_the_decisions(company: Company, state: str) -> None:
    stage = open_stage(company)
    pitch = stage.submitted()
    if state == "voting":
        stage.to_vote()
    else:
        stage.to_decide(pitch)
        stage.fund(pitch)
        services.round_publish(actor=company.gil, round_=stage.round)
    stage.now()

    page = page_of(company.client(company.gil).get(at(stage.round)))

    words = {"voting": "The board opens with the ballots", "published": "The committee has decided"}
    assert words[state] in page.text
    with pytest.raises(WrongState):
        services.board_move(actor=company.gil, round_=stage.round, version=0, kind=MoveKind.RESET)


# --- Moves --------------------------------------------------------------------------------------------------------


def test_a_move_is_shared_kept_and_told(stage: Stage, company: Company) -> None:
    before = stamp_of(company.dee, stage.round.pk)

    made = move(stage, company.gil, MoveKind.SLIDE, cap=Decimal(9000))

    board = seen(stage, company.dee)
    assert board.state.version == 1
    assert board.cap == 9000
    assert board.spendable == 8100
    assert (made.number, made.worth, made.cost, made.chosen) == (1, board.worth, board.cost, board.count)
    assert stamp_of(company.dee, stage.round.pk) != before
    event = AuditEvent.objects.get(verb="round.board")
    assert (event.actor, event.details["cap"]) == (company.gil, "9000")
    assert stage.now().cap == 20000


def test_of_two_who_move_at_once_the_second_is_told(stage: Stage, company: Company) -> None:
    move(stage, company.gil, MoveKind.SLIDE, cap=Decimal(9000))

    with pytest.raises(WrongState, match="Gil Example moved the board") as refused:
        services.board_move(actor=company.dee, round_=stage.round, version=0, kind=MoveKind.SLIDE, cap=Decimal(8000))

    assert refused.value.code == "moved"
    assert board_state(stage.round).cap == 9000
    answer = company.client(company.dee).post(
        at(stage.round, "move/"), {"move": "slide", "cap": "8000", "version": "0"}, headers={"HX-Request": "true"}
    )
    assert answer.status_code == 409
    assert page_of(answer).all("div", data_version="1")


def test_holding_a_pitch_in_costs_the_best_worth_less_the_best_with_it(stage: Stage, company: Company) -> None:
    pitch = one_out(stage)
    problem = engine_for(stage.round).problem
    best, held = solve(problem), solve(problem, forced_in=[str(pitch.pk)])

    made = move(stage, company.dee, MoveKind.FORCE_IN, pitch=pitch)

    assert made.price == Decimal(best.worth - held.worth) / 100
    assert made.price > 0
    row = next(row for row in seen(stage, company.eli).rows if row.pk == pitch.pk)
    assert (row.is_in, row.held, row.code) == (True, "in", "forced_in")


def test_holding_a_pitch_out_costs_what_it_added(stage: Stage, company: Company) -> None:
    pitch = one_in(stage)
    problem = engine_for(stage.round).problem
    best, without = solve(problem), solve(problem, forced_out=[str(pitch.pk)])

    made = move(stage, company.dee, MoveKind.FORCE_OUT, pitch=pitch)

    assert made.price == Decimal(best.worth - without.worth) / 100
    freed = move(stage, company.eli, MoveKind.FREE, pitch=pitch)
    assert (freed.price, freed.worth) == (None, Decimal(best.worth) / 100)


def test_the_page_tells_prices_on_demand(stage: Stage, company: Company) -> None:
    inside, outside = one_in(stage), one_out(stage)
    problem = engine_for(stage.round).problem
    lost = solve(problem).worth - solve(problem, forced_out=[str(inside.pk)]).worth

    told = company.client(company.dee).get(at(stage.round, f"prices/?p={inside.pk}&p={outside.pk}")).json()

    assert set(told) == {str(inside.pk), str(outside.pk)}
    dollars = (Decimal(lost) / 100).quantize(Decimal(1))
    assert told[str(inside.pk)].startswith(f"Holding it out costs ${dollars:,} of worth")
    assert told[str(outside.pk)].startswith("Holding it in costs $")
    assert " leave" in told[str(outside.pk)]


def test_one_offer_of_a_pitch_can_be_held(stage: Stage, company: Company) -> None:
    pitch = one_out(stage)
    option = pitch.options.order_by("cost")[0]

    move(stage, company.dee, MoveKind.FORCE_IN, pitch=pitch, option=option)

    row = next(row for row in seen(stage, company.dee).rows if row.pk == pitch.pk)
    assert [offer.name for offer in row.offers if offer.is_taken] == [option.offer]
    assert BoardForce.objects.get().option == option


def test_setting_back_frees_everything_and_restores_the_cap(stage: Stage, company: Company) -> None:
    move(stage, company.gil, MoveKind.SLIDE, cap=Decimal(9000))
    move(stage, company.gil, MoveKind.FORCE_OUT, pitch=one_in(stage))

    move(stage, company.dee, MoveKind.RESET)

    board = seen(stage, company.dee)
    assert board.cap == 20000
    assert not board.is_moved
    assert not BoardForce.objects.exists()


def test_what_cannot_fit_is_refused_and_nothing_moves(stage: Stage, company: Company) -> None:
    dear = max(seen(stage, company.gil).rows, key=lambda row: row.asked or Decimal(0))
    pitch = Pitch.objects.get(pk=dear.pk)
    option = pitch.options.get(code="stretch")
    move(stage, company.gil, MoveKind.SLIDE, cap=Decimal(1000))

    with pytest.raises(Refused, match="It does not fit") as refused:
        move(stage, company.gil, MoveKind.FORCE_IN, pitch=pitch, option=option)

    assert refused.value.code == "does_not_fit"
    assert BoardMove.objects.count() == 1


@pytest.mark.parametrize(
    ("cap", "code"), [("0", "cap_out_of_range"), ("40001", "cap_out_of_range"), ("9000.001", "not_in_cents")]
)
def test_a_cap_that_makes_no_sense_is_refused(stage: Stage, company: Company, cap: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        move(stage, company.gil, MoveKind.SLIDE, cap=Decimal(cap))

    assert (refused.value.code, refused.value.field) == (code, "cap")


def test_a_move_decides_nothing(stage: Stage, company: Company) -> None:
    move(stage, company.gil, MoveKind.FORCE_IN, pitch=one_out(stage))
    move(stage, company.gil, MoveKind.SLIDE, cap=Decimal(5000))

    assert not Decision.objects.exists()
    assert not Override.objects.exists()
    assert set(stage.round.pitches.values_list("state", flat=True)) == {"shortlisted"}


def test_a_signed_override_holds_whatever_the_board_says(company: Company, settings: Settings) -> None:
    settings.BOARD_SECONDS = 60
    stage = open_stage(company, cap="200000", funded="500000")
    deciding(stage, 6)
    rows = [row for row in seen(stage, company.gil).rows if row.is_in]
    pitch = Pitch.objects.get(pk=min(rows, key=lambda row: row.cost or Decimal(0)).pk)
    override = services.override_propose(
        actor=company.dee, pitch=pitch, force=Force.OUT, category=OverrideCategory.LAW, reason=REASON
    )
    before = stamp_of(company.gil, stage.round.pk)

    services.override_sign(actor=company.eli, override=override)

    assert stamp_of(company.gil, stage.round.pk) != before
    row = next(row for row in seen(stage, company.gil).rows if row.pk == pitch.pk)
    assert (row.is_in, row.held, row.is_signed, row.may_move) == (False, "out", True, False)
    with pytest.raises(Refused) as refused:
        move(stage, company.gil, MoveKind.FREE, pitch=pitch)
    assert refused.value.code == "overridden"


def test_a_move_that_was_made_stays_as_it_was_made(stage: Stage, company: Company) -> None:
    made = move(stage, company.gil, MoveKind.SLIDE, cap=Decimal(9000))

    for forged in (lambda: BoardMove.objects.filter(pk=made.pk).update(cap=1), made.delete):
        with pytest.raises(DatabaseError), transaction.atomic():
            forged()
    assert BoardMove.objects.get().cap == 9000


def test_an_override_begins_with_what_the_board_holds_and_its_price(stage: Stage, company: Company) -> None:
    pitch = one_out(stage)
    option = pitch.options.order_by("cost")[0]
    made = move(stage, company.gil, MoveKind.FORCE_IN, pitch=pitch, option=option)
    dee = company.client(company.dee)
    link = page_of(dee.get(at(stage.round))).one("tr", id=f"pitch-{pitch.pk}").all("a")[-1]

    page = page_of(dee.get(link.attrs["href"]))

    assert link.text == "Propose it as an override"
    assert f"Gil Example held it in at a price of ${made.price:,.2f} of worth" in page.text
    assert "checked" in page.one("input", name="force", value="in").attrs
    assert "selected" in page.one("option", value=str(option.pk)).attrs


# --- Rights and recusal -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ana", "cy", "hana", "ivo", "jo", "kim"])
def test_the_board_is_the_committees(stage: Stage, company: Company, name: str) -> None:
    client, person = company.client(company.person(name)), company.person(name)

    paths = ("", "live/", "prices/", "compare/", "curve/", "curve.csv")
    assert {client.get(at(stage.round, path)).status_code for path in paths} <= {302, 404}
    assert stamp_of(person, stage.round.pk) is None
    with pytest.raises(NotAllowed):
        move(stage, person, MoveKind.RESET)
    with pytest.raises(NotAllowed):
        services.board_note(actor=person, round_=stage.round, text="I was here.")


def test_a_recused_member_reads_title_and_team_and_nothing_that_would_tell_more(stage: Stage, company: Company) -> None:
    pitch = one_in(stage)
    whole = seen(stage, company.fay)
    hidden_row = next(row for row in whole.rows if row.pk == pitch.pk)
    recuse(stage, company.fay, pitch)

    board = seen(stage, company.fay)

    row = board.rows[-1]
    assert row == BoardRow(pitch.pk, hidden_row.title, hidden_row.team, recused="My sister leads that team.")
    others = [row for row in board.rows if row.is_in]
    assert board.worth == sum(row.worth or 0 for row in others)
    assert board.cost == sum(row.cost or 0 for row in others)
    assert (board.left, board.gap_shown, board.is_whole) == (None, None, False)
    assert comparison_of(board, seconds=60) is None
    assert curve_of(board) is None
    assert not any(row.shows_price for row in board.rows)
    assert not {row.code for row in board.rows} & {"displaced", "team_cap", "tier_cap", "incompatible", "requires"}


def test_no_address_of_the_board_tells_a_recused_member_more(stage: Stage, company: Company) -> None:
    pitch = one_in(stage)
    recuse(stage, company.fay, pitch)
    made = move(stage, company.gil, MoveKind.FORCE_OUT, pitch=pitch)
    fay = company.client(company.fay)

    pages = [fay.get(at(stage.round, path)).content.decode() for path in ("", "live/", "compare/", "curve/")]

    secrets = [
        f"{made.worth:,.2f}",
        f"{made.cost:,.2f}",
        f"{made.price:,.2f}",
        "Left</dt>",
        'data-price="',
        'board-curve"',
    ]
    assert [secret for secret in secrets for page in pages if secret in page] == []
    assert fay.get(at(stage.round, f"prices/?p={pitch.pk}&p={one_out(stage).pk}")).json() == {}
    assert fay.get(at(stage.round, "curve.csv")).status_code == 404
    log = page_of(fay.get(at(stage.round))).one("div", id="board-log").text
    assert "held" not in log


def test_a_recused_member_moves_the_others_and_never_their_own(stage: Stage, company: Company) -> None:
    own, other = one_in(stage), one_out(stage)
    recuse(stage, company.fay, own)
    move(stage, company.gil, MoveKind.FORCE_OUT, pitch=own)

    for kind in (MoveKind.FORCE_IN, MoveKind.FORCE_OUT, MoveKind.FREE):
        with pytest.raises(NotAllowed, match="You are recused"):
            move(stage, company.fay, kind, pitch=own)
    with pytest.raises(NotAllowed):
        services.board_note(actor=company.fay, round_=stage.round, pitch=own, text="It deserves better.")
    move(stage, company.fay, MoveKind.FORCE_IN, pitch=other)
    move(stage, company.fay, MoveKind.RESET)

    assert list(BoardForce.objects.values_list("pitch", "force")) == [(own.pk, "out")]


def test_the_database_refuses_the_move_of_somebody_with_a_conflict(stage: Stage, company: Company) -> None:
    pitch = one_in(stage)
    recuse(stage, company.fay, pitch)
    forged = BoardMove(
        round=stage.round, number=1, actor=company.fay, kind="force_in", version=1, pitch=pitch, cap=1, price=0,
        worth=0, cost=0, chosen=0, proved=True,
    )  # fmt: skip

    with pytest.raises(DatabaseError) as refused:
        forged.save()

    assert isinstance(refused.value.__cause__, psycopg.Error)
    assert refused.value.__cause__.sqlstate == "TK021"
