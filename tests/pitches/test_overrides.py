"""Overrides: a reason, a price, a second signature, and together never more than five percent of the cap."""

from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction

from ledger.models import Tier
from pitches import services
from pitches.models import Choice, Force, Override, OverrideCategory, Pitch
from pitches.selectors.selection import choice_of, override_room, overrides_of, pitch_results
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent, Notification, User
from tests.cast import Company
from tests.pitches.stage import ITEM, Stage, open_stage

pytestmark = pytest.mark.django_db

REASON = "The regulator asks for this one by name; the letter is in the folder of the board."
SMALL = replace(ITEM, tier=Tier.ECONOMY, calls_min=90_000, calls_target=90_000, calls_stretch=90_000)
"""486 dollars over the period, one size; a cap of 10,000 lets overrides move 500."""


@pytest.fixture
def stage(company: Company) -> Stage:
    """Give a story a round of 10,000 dollars in which overrides may move 500."""
    return open_stage(company)


def put(stage: Stage, **values: str) -> list[Pitch]:
    """Put pitches of 486 dollars on the ballot, by title and claimed value."""
    pitches = [stage.submitted(title.title(), value=value, items=(SMALL,)) for title, value in values.items()]
    stage.to_decide(*pitches)
    return pitches


def propose(
    stage: Stage, pitch: Pitch, force: Force = Force.IN, *, by: User | None = None, reason: str = REASON
) -> Override:
    return services.override_propose(
        actor=by or stage.company.gil, pitch=pitch, force=force, category=OverrideCategory.LAW, reason=reason
    )


def results(stage: Stage) -> dict[str, tuple[str, str]]:
    selection = services.selection_run(actor=stage.company.gil, round_=stage.round)
    return {row["title"]: (row["outcome"], row["reason"]) for row in pitch_results(selection).values()}


def test_a_signed_override_funds_a_pitch_below_the_hurdle_at_its_price(stage: Stage, company: Company) -> None:
    low, _ = put(stage, low="300", high="9000")

    override = propose(stage, low)
    assert results(stage) == {"Low": ("decline", "below_hurdle"), "High": ("fund", "selected")}
    services.override_sign(actor=company.dee, override=override)

    assert results(stage) == {"Low": ("fund", "forced_in"), "High": ("fund", "selected")}
    override.refresh_from_db()
    assert (override.price, override.cost, override.signed_by) == (Decimal(0), Decimal(486), company.dee)
    assert override.option == low.options.get()  # the offer is fixed with the signature


def test_leaving_a_pitch_out_costs_what_it_was_worth(stage: Stage, company: Company) -> None:
    [pitch] = put(stage, good="9000")

    override = propose(stage, pitch, Force.OUT)
    services.override_sign(actor=company.dee, override=override)

    override.refresh_from_db()
    assert (override.price, override.cost) == (Decimal(5400), Decimal(486))
    assert results(stage) == {"Good": ("decline", "forced_out")}


def test_the_price_of_forcing_one_in_is_what_the_round_loses(company: Company) -> None:
    stage = open_stage(company, team_cap="0.05")  # 500 dollars a team: one of the two
    best, other = put(stage, best="9000", other="6000")

    override = propose(stage, other)
    services.override_sign(actor=company.dee, override=override)

    override.refresh_from_db()
    assert override.price == Decimal(5400) - Decimal(3600)
    assert results(stage) == {"Best": ("waitlist", "team_cap"), "Other": ("fund", "forced_in")}
    assert best.title == "Best"


def test_an_override_may_name_the_offer(stage: Stage, company: Company) -> None:
    pitch = stage.submitted(value="300000")  # 2,400 dollars as asked, 4,800 at stretch, 540 on economy
    stage.to_decide(pitch)
    cheaper = pitch.options.get(code="partial")

    with pytest.raises(Refused, match=r"overrides may move \$500\.00") as refused:
        services.override_propose(
            actor=company.gil,
            pitch=pitch,
            force=Force.IN,
            category=OverrideCategory.CAPACITY,
            reason=REASON,
            option=cheaper,
        )

    assert refused.value.code == "over_share"


def test_all_signed_overrides_move_five_percent_of_the_cap_at_most(stage: Stage, company: Company) -> None:
    one, other = put(stage, one="300", other="310")
    first = propose(stage, one)
    second = propose(stage, other)  # each fits on its own
    services.override_sign(actor=company.dee, override=first)

    with pytest.raises(Refused, match=r"\$14.00 of that are left"):
        services.override_sign(actor=company.dee, override=second)

    assert override_room(stage.round).left == Decimal(14)
    with pytest.raises(DatabaseError, match="move 972, more than the 500"), transaction.atomic():
        Override.objects.filter(pk=second.pk).update(signed_by=company.dee, signed_at="2026-01-01T00:00Z")


def test_a_reason_has_fifty_characters(stage: Stage) -> None:
    [pitch] = put(stage, low="300")

    with pytest.raises(Refused, match="at least 50 characters") as refused:
        propose(stage, pitch, reason="x" * 49 + "   ")

    assert (refused.value.code, refused.value.field) == ("reason_too_short", "reason")
    override = propose(stage, pitch, reason="x" * 50)
    with pytest.raises(DatabaseError, match="override_reason_is_long_enough"), transaction.atomic():
        Override.objects.create(
            round=stage.round,
            pitch=pitch,
            force=Force.IN,
            category=OverrideCategory.LAW,
            reason="Because.",
            price=0,
            cost=0,
            proposed_by=stage.company.gil,
            withdrawn_at=override.proposed_at,
        )


def test_nobody_signs_their_own(stage: Stage, company: Company) -> None:
    [pitch] = put(stage, low="300")
    override = propose(stage, pitch)

    with pytest.raises(NotAllowed, match="A second member signs"):
        services.override_sign(actor=company.gil, override=override)
    with pytest.raises(DatabaseError, match="override_needs_two_people"), transaction.atomic():
        Override.objects.update(signed_by=company.gil, signed_at="2026-01-01T00:00Z")


@pytest.mark.parametrize("name", ["fay", "ana", "hana", "ivo", "jo"])
def test_only_members_without_a_conflict_propose_and_sign(stage: Stage, company: Company, name: str) -> None:
    pitch = stage.submitted(value="300", items=(SMALL,))
    services.recusal_declare(actor=company.fay, pitch=pitch, reason="I built its pilot.")
    stage.to_decide(pitch)
    somebody = company.person(name)

    with pytest.raises(NotAllowed):
        propose(stage, pitch, by=somebody)
    override = propose(stage, pitch)
    with pytest.raises(NotAllowed):
        services.override_sign(actor=somebody, override=override)
    with pytest.raises(NotAllowed):
        services.override_withdraw(actor=somebody, override=override, reason="It is not needed.")
    with pytest.raises(DatabaseError, match=r"conflict of interest|no seat"), transaction.atomic():
        Override.objects.update(signed_by=somebody, signed_at="2026-01-01T00:00Z")


def test_a_recused_member_hears_nothing_of_it(stage: Stage, company: Company) -> None:
    pitch = stage.submitted(value="300", items=(SMALL,))
    services.recusal_declare(actor=company.fay, pitch=pitch, reason="I built its pilot.")
    stage.to_decide(pitch)
    services.override_sign(actor=company.dee, override=propose(stage, pitch))
    services.selection_run(actor=company.gil, round_=stage.round)

    told = Notification.objects.filter(title__startswith="An override")
    assert set(told.values_list("user__name", flat=True)) == {"Gil Example", "Dee Example", "Eli Example"}
    choice = choice_of(company.fay, stage.now())
    assert choice is not None
    assert choice.rows == []
    assert (choice.worth, choice.cost) == (Decimal(0), Decimal(0))
    hidden = frozenset({pitch.pk})
    assert overrides_of(stage.round, hidden=hidden) == []
    assert override_room(stage.round, hidden=hidden).moved == 0


def test_what_changes_nothing_is_no_override(stage: Stage) -> None:
    low, high = put(stage, low="300", high="9000")

    for pitch, force in ((low, Force.OUT), (high, Force.IN)):
        with pytest.raises(Refused, match="says the same without it") as refused:
            propose(stage, pitch, force)
        assert refused.value.code == "no_change"


def test_no_signature_stands_in_for_a_quorum(stage: Stage, company: Company) -> None:
    pitch = stage.submitted(value="300", items=(SMALL,))
    stage.to_vote()
    stage.vote(company.gil, pitch, Choice.YES, 9)
    services.voting_close(actor=company.gil, round_=stage.round)

    with pytest.raises(Refused, match="no signature stands in for that") as refused:
        propose(stage, pitch)

    assert refused.value.code == "no_quorum"


def test_one_override_stands_on_a_pitch_until_it_is_withdrawn(stage: Stage, company: Company) -> None:
    [pitch] = put(stage, low="300")
    override = propose(stage, pitch)
    with pytest.raises(Refused, match="withdraw it first"):
        propose(stage, pitch, by=company.dee)
    services.override_sign(actor=company.dee, override=override)

    with pytest.raises(NotAllowed):
        services.override_withdraw(actor=company.eli, override=override, reason="I do not like it.")
    with pytest.raises(Refused, match="Say why it is withdrawn"):
        services.override_withdraw(actor=company.dee, override=override, reason=" no ")
    services.override_withdraw(actor=company.dee, override=override, reason="The letter was for last year.")

    assert results(stage) == {"Low": ("decline", "below_hurdle")}
    with pytest.raises(WrongState, match="It was withdrawn"):
        services.override_sign(actor=company.eli, override=override)
    propose(stage, pitch, by=company.dee)
    assert list(
        AuditEvent.objects.filter(verb__startswith="pitch.override").order_by("pk").values_list("verb", flat=True)
    ) == ["pitch.override_propose", "pitch.override_sign", "pitch.override_withdraw", "pitch.override_propose"]


def test_what_an_override_says_is_fixed(stage: Stage, company: Company) -> None:
    [pitch] = put(stage, low="300")
    services.override_sign(actor=company.dee, override=propose(stage, pitch))

    for change in (
        "UPDATE pitches_override SET reason = repeat('x', 60)",
        "UPDATE pitches_override SET force = 'out'",
        "UPDATE pitches_override SET cost = 1",
        "UPDATE pitches_override SET price = 1",
        "DELETE FROM pitches_override",
    ):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(change)


def test_overrides_end_with_the_publication(stage: Stage, company: Company) -> None:
    [pitch] = put(stage, low="300")
    override = propose(stage, pitch)
    services.selection_run(actor=company.gil, round_=stage.round)
    services.selection_adopt(actor=company.gil, round_=stage.round)
    services.round_publish(actor=company.gil, round_=stage.round)

    with pytest.raises(WrongState):
        services.override_sign(actor=company.dee, override=override)
    with pytest.raises(DatabaseError, match="are closed"), transaction.atomic():
        Override.objects.update(signed_by=company.dee, signed_at="2026-01-01T00:00Z")
