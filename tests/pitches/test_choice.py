"""The exact choice in a round: run, adopted, deferred where there is no quorum, and replayed to the same bytes."""

import json
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from ledger.models import Tier
from pitches import services
from pitches.content import LinkContent, QualityContent
from pitches.models import Choice, Decision, DecisionLine, Outcome, Pitch, PitchOption, Round, Selection
from pitches.models.choice import SelectionKind
from pitches.questions import LinkKind
from pitches.selectors.inputs import inputs_text, rounds_unfunded
from pitches.selectors.rounds import decided_total
from pitches.selectors.selection import adopted_selection, choice_of, pitch_results
from teams.errors import NotAllowed, Refused, WrongState
from tests.cast import Company
from tests.pitches.stage import ITEM, Stage, open_stage

pytestmark = pytest.mark.django_db


def run(stage: Stage) -> Selection:
    return services.selection_run(actor=stage.company.gil, round_=stage.round)


def adopt(stage: Stage) -> list[Decision]:
    return services.selection_adopt(actor=stage.company.gil, round_=stage.round)


def outcomes(selection: Selection) -> dict[str, tuple[str, str]]:
    """Return outcome and reason by title."""
    return {row["title"]: (row["outcome"], row["reason"]) for row in pitch_results(selection).values()}


def crowded(stage: Stage) -> list[Pitch]:
    """Put four pitches on the ballot, 2,400 dollars each with one size and no way to do it cheaper; three fit."""
    item = replace(ITEM, tier=Tier.ECONOMY, calls_min=444_445, calls_target=444_445, calls_stretch=444_445)
    values = {"First": "50000", "Second": "40000", "Third": "30000", "Fourth": "20000"}
    pitches = [stage.submitted(title, value=value, items=(item,)) for title, value in values.items()]
    stage.to_decide(*pitches)
    return pitches


def test_closing_the_vote_makes_the_offers_of_every_pitch(stage: Stage) -> None:
    pitch = stage.submitted()

    stage.to_decide(pitch)

    assert list(
        pitch.options.order_by("pk").values_list("code", "tier", "label", "cost", "value", "quality", "origin")
    ) == [
        ("full", "standard", "As asked", Decimal(2400), Decimal(50000), Decimal(1), "asked"),
        ("partial", "standard", "The minimum", Decimal(1200), Decimal(25000), Decimal(1), "asked"),
        ("stretch", "standard", "The stretch", Decimal(4800), Decimal(100000), Decimal(1), "asked"),
        ("cheaper", "economy", "All on economy", Decimal(540), Decimal(50000), Decimal("0.9"), "system"),
        ("cascade", "economy", "Easy calls on economy", Decimal(1284), Decimal(50000), Decimal("0.94"), "system"),
    ]


def test_what_a_team_measured_and_what_its_pitch_is_tied_to_reach_the_choice(stage: Stage) -> None:
    measured = QualityContent(Tier.ECONOMY, Decimal("0.875"), "On 200 claims of March")
    base = stage.submitted("Base", quality=(measured,))
    rival = stage.submitted("Rival", links=(LinkContent(LinkKind.INCOMPATIBLE, base),))
    add_on = stage.submitted("Add-on", value="80000", links=(LinkContent(LinkKind.REQUIRES, rival),))
    stage.to_decide(base, rival, add_on)

    said = json.loads(inputs_text(stage.now()))

    offers = {row["offer"]: (row["quality"], row["measured"]) for row in said["pitches"][0]["offers"]}
    # Sixty in a hundred calls of the cascade go to economy: 0.4 + 0.6 * 0.875.
    assert offers["cheaper:economy"] == ("0.8750", True)
    assert offers["cascade"] == ("0.9250", True)
    assert offers["full"] == ("1.0000", False)
    assert {row["measured"] for row in said["pitches"][1]["offers"]} == {False}
    assert said["incompatible"] == [[rival.pk, base.pk]]
    assert said["requires"] == [[add_on.pk, rival.pk]]
    found = outcomes(run(stage))
    # All three would fit the cap; what needs the rival drags it in, and the rival keeps the base out.
    assert {title: outcome for title, (outcome, _) in found.items()} == {
        "Base": "waitlist",
        "Rival": "fund",
        "Add-on": "fund",
    }
    assert found["Base"][1] == "incompatible"


def test_the_choice_takes_what_is_worth_most_together_and_says_what_it_is_made_of(stage: Stage) -> None:
    pitch = stage.submitted()
    stage.to_decide(pitch)

    selection = run(stage)

    [said] = pitch_results(selection).values()
    assert (said["outcome"], said["reason"], said["offer"], said["cost"], said["worth"]) == (
        "fund",
        "selected",
        "stretch",
        480_000,
        6_000_000,
    )
    assert said["formula"] == (
        "$100,000.00 claimed x 0.6000 for what the team's past claims delivered x 1.0000 quality x 1.0000 conviction "
        "of the committee = $60,000.00"
    ).replace(" x ", " \N{MULTIPLICATION SIGN} ")
    assert json.loads(selection.result_text)["optimal"] is True


def test_what_does_not_fit_waits_and_reads_what_would_have_changed_it(stage: Stage) -> None:
    first, second, third, fourth = crowded(stage)

    rows = pitch_results(run(stage))

    # 444,445 calls a month at 0.0009 dollars for six months: 2,400.01 each once it is rounded up; 9,000 can be awarded.
    assert [row["cost"] for row in rows.values()] == [240_001] * 4
    assert [rows[pitch.pk]["outcome"] for pitch in (first, second, third, fourth)] == ["fund"] * 3 + ["waitlist"]
    said = rows[fourth.pk]
    assert (said["reason"], said["waitlist_place"], said["displaced_by"]) == ("displaced", 1, [third.pk])
    # Worth 12,000.00 where the third is worth 18,000.00; 1,799.97 are left.
    assert said["text"] == (
        "On the waitlist, place 1. Its best offer, “As asked”, is worth $12,000.00 for $2,400.01, 5.00 for each "
        "dollar, which is above the hurdle; but the same money is worth more with others. “As asked” would have been "
        "funded had it been worth $6,000.01 more, or had it cost no more than $1,799.97."
    )


def test_a_pitch_below_the_hurdle_is_declined_and_reads_by_how_much(stage: Stage) -> None:
    item = replace(ITEM, tier=Tier.ECONOMY, calls_min=444_445, calls_target=444_445, calls_stretch=444_445)
    stage.to_decide(stage.submitted(value="3000", items=(item,)))

    [said] = pitch_results(run(stage)).values()

    # Worth 1,800.00; the hurdle of 1.2 asks for 2,880.02.
    assert (said["outcome"], said["reason"]) == ("decline", "below_hurdle")
    assert said["text"] == (
        "Its best offer, “As asked”, is worth $1,800.00 for $2,400.01: 0.75 for each dollar, where the round asks for "
        "at least 1.2. “As asked” would have been funded had it been worth $1,080.02 more."
    )


def test_without_a_quorum_a_pitch_is_deferred_and_can_go_on(stage: Stage, company: Company) -> None:
    judged, thin = stage.submitted("Judged"), stage.submitted("Thin")
    stage.to_vote()
    for member in (company.gil, company.dee, company.eli):
        stage.vote(member, judged)
    stage.vote(company.gil, thin)
    services.voting_close(actor=company.gil, round_=stage.round)

    assert outcomes(run(stage)) == {"Judged": ("fund", "selected"), "Thin": ("defer", "no_quorum")}
    adopt(stage)
    services.round_publish(actor=company.gil, round_=stage.round)

    thin.refresh_from_db()
    assert thin.state == "deferred"
    assert thin.result.reason_text == (
        "Not judged: it has 1 of the 3 scores that it needs, and 1 of 4 members without a conflict voted, where more "
        "than half must. So it is deferred, not declined, and can go to the next round."
    )


def test_adopting_makes_every_decision_with_its_lines(stage: Stage) -> None:
    pitch = stage.submitted()
    stage.to_decide(pitch)
    run(stage)

    [decision] = adopt(stage)

    assert (decision.outcome, decision.decided_by) == ("fund", stage.company.gil)
    assert decision.reason.startswith("Funded: “The stretch”. It is worth $60,000.00 for $4,800.00, which is 12.50 for")
    assert list(decision.lines.values_list("tier", "amount")) == [("standard", Decimal(4800))]


def test_adopting_replaces_what_was_decided_by_hand_within_the_cap_all_the_while(stage: Stage) -> None:
    first, *others = crowded(stage)
    stage.fund(first, "9000", Tier.ECONOMY)
    run(stage)

    adopt(stage)

    rows = DecisionLine.objects.order_by("decision__pitch").values_list(
        "decision__pitch", "decision__outcome", "decision__waitlist_place", "amount"
    )
    funded = [(pitch.pk, "fund", None, Decimal("2400.01")) for pitch in (first, *others[:2])]
    # What waits keeps the lines that it would be offered; they are no part of what is awarded.
    assert list(rows) == [*funded, (others[2].pk, "waitlist", 1, Decimal("2400.01"))]
    assert decided_total(stage.round) == Decimal("7200.03")


def test_after_adoption_only_the_words_of_a_reason_can_be_changed(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_decide(pitch)
    run(stage)
    adopt(stage)

    with pytest.raises(Refused, match="takes an override") as refused:
        stage.fund(pitch, "2400")
    assert refused.value.code == "adopted"
    stage.fund(pitch, "4800")

    assert Decision.objects.get().reason == "Worth many times what it costs."


def test_what_changes_after_the_run_must_be_chosen_again(stage: Stage, company: Company) -> None:
    one, other = stage.submitted("One"), stage.submitted("Other")
    stage.to_decide(one, other)
    run(stage)
    services.recusal_declare(actor=company.eli, pitch=other, reason="I advised the team on it.")

    with pytest.raises(Refused, match="run it again") as refused:
        adopt(stage)

    assert refused.value.code == "stale"
    assert outcomes(run(stage))["Other"] == ("defer", "no_quorum")
    adopt(stage)


def test_what_changes_after_adoption_stops_the_publication(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_decide(pitch)
    run(stage)
    adopt(stage)
    services.recusal_declare(actor=company.eli, pitch=pitch, reason="I advised the team on it.")

    with pytest.raises(Refused, match="run it again"):
        services.round_publish(actor=company.gil, round_=stage.round)
    run(stage)
    with pytest.raises(Refused, match="Decided otherwise than the latest choice says: Claims triage"):
        services.round_publish(actor=company.gil, round_=stage.round)


def test_where_the_chair_is_recused_another_member_adopts(stage: Stage, company: Company) -> None:
    one, other = stage.submitted("One"), stage.submitted("Other")
    services.recusal_declare(actor=company.gil, pitch=other, reason="I advised the team on it.")
    stage.to_vote()
    for member in (company.dee, company.eli, company.fay):
        for pitch in (one, other):
            stage.vote(member, pitch)
    services.voting_close(actor=company.gil, round_=stage.round)
    run(stage)

    assert [decision.pitch for decision in adopt(stage)] == [one]
    assert [row.pitch for row in services.selection_adopt(actor=company.dee, round_=stage.round)] == [other]
    services.round_publish(actor=company.gil, round_=stage.round)


def test_the_chair_runs_it_and_nobody_else_adopts(stage: Stage, company: Company) -> None:
    stage.to_decide(stage.submitted())

    for name in ("dee", "ana", "hana", "ivo", "jo"):
        with pytest.raises(NotAllowed):
            services.selection_run(actor=company.person(name), round_=stage.round)
        with pytest.raises(NotAllowed):
            services.selection_adopt(actor=company.person(name), round_=stage.round)


def test_it_is_made_after_the_vote_and_before_the_publication(stage: Stage) -> None:
    stage.submitted()
    stage.to_vote()

    with pytest.raises(WrongState):
        run(stage)


def test_nothing_is_adopted_before_it_was_run(stage: Stage) -> None:
    stage.to_decide(stage.submitted())

    with pytest.raises(Refused, match="Run the exact choice first"):
        adopt(stage)


def test_run_again_with_nothing_changed_it_is_the_same_choice(stage: Stage) -> None:
    stage.to_decide(stage.submitted())

    assert run(stage) == run(stage)
    assert Selection.objects.count() == 1


def test_a_member_may_look_at_a_choice_that_is_not_adopted(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_decide(pitch)

    preview = services.selection_run(
        actor=company.dee,
        round_=stage.round,
        kind=SelectionKind.PREVIEW,
        forced=[{"pitch": pitch.pk, "force": "out", "offer": None}],
    )

    assert outcomes(preview) == {"Claims triage": ("decline", "forced_out")}
    with pytest.raises(Refused, match="Run the exact choice first"):
        adopt(stage)


def test_a_recused_member_does_not_try_out_what_that_pitch_would_cost(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    services.recusal_declare(actor=company.fay, pitch=pitch, reason="I advised the team on it.")
    stage.to_decide(pitch)

    with pytest.raises(NotAllowed):
        services.selection_run(
            actor=company.fay,
            round_=stage.round,
            kind=SelectionKind.PREVIEW,
            forced=[{"pitch": pitch.pk, "force": "out", "offer": None}],
        )


def test_a_conflicted_members_ballot_is_not_even_read(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    stage.to_vote()
    for member, score in ((company.gil, 8), (company.dee, 8), (company.eli, 8), (company.fay, 1)):
        stage.vote(member, pitch, Choice.YES if score > 1 else Choice.NO, score)
    services.recusal_declare(actor=company.fay, pitch=pitch, reason="I advised the team on it.")
    services.voting_close(actor=company.gil, round_=stage.round)

    [row] = json.loads(inputs_text(stage.now()))["pitches"]

    assert row["votes"] == 3
    assert row["scores"] == [
        [member.pk, 8] for member in sorted((company.gil, company.dee, company.eli), key=lambda m: m.pk)
    ]


def test_every_stored_choice_replays_to_the_same_bytes(stage: Stage, company: Company) -> None:
    pitches = [stage.submitted(title) for title in ("One", "Two", "Three")]
    stage.to_decide(*pitches)
    run(stage)
    adopt(stage)
    services.round_publish(actor=company.gil, round_=stage.round)
    said = StringIO()

    call_command("replay_selection", str(stage.round.pk), stdout=said, json=True)

    assert json.loads(said.getvalue()) == {"round": "Q1", "replayed": 1, "differ": []}


def test_a_result_that_was_not_computed_so_is_found_by_the_replay(stage: Stage) -> None:
    stage.to_decide(stage.submitted())
    kept = run(stage)
    forged = Selection.objects.get(pk=kept.pk)
    forged.pk, forged.number = None, 2
    forged.result_text = kept.result_text.replace('"worth":6000000', '"worth":7000000')
    forged.result_sha256 = sha256(forged.result_text.encode()).hexdigest()
    forged.save(force_insert=True)

    with pytest.raises(SystemExit) as exit_:
        call_command("replay_selection", "Q1", stdout=StringIO(), json=True)

    assert exit_.value.code == 1
    assert [services.selection_replay(row) for row in Selection.objects.order_by("number")] == [True, False]


def test_a_round_that_does_not_exist_is_not_replayed() -> None:
    with pytest.raises(CommandError, match="There is no round Q9"):
        call_command("replay_selection", "Q9")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE pitches_selection SET result_text = '{}'",
        "DELETE FROM pitches_selection",
        "UPDATE pitches_pitchoption SET cost = 1",
        "UPDATE pitches_optionline SET amount = 1",
        "UPDATE pitches_adoption SET selection_id = 1",
    ],
)
def test_what_was_chosen_stays_as_it_was(stage: Stage, change: str) -> None:
    stage.to_decide(stage.submitted())
    run(stage)
    adopt(stage)

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)


def test_the_database_keeps_the_cap_of_a_team_and_of_the_frontier_tier(company: Company) -> None:
    stage = open_stage(company, team_cap="0.3", frontier_cap="0.1")
    pitch = stage.submitted()
    stage.to_decide(pitch)
    decision = Decision.objects.create(
        pitch=pitch, revision=pitch.submitted, outcome=Outcome.FUND, reason="By hand.", decided_by=stage.company.gil
    )

    with pytest.raises(DatabaseError, match="more than the 3000 that a team"), transaction.atomic():
        decision.lines.create(tier=Tier.STANDARD, amount=Decimal("3000.01"))
    with pytest.raises(DatabaseError, match="more than the 1000 that the tier"), transaction.atomic():
        decision.lines.create(tier=Tier.FRONTIER, amount=Decimal("1000.01"))
    decision.lines.create(tier=Tier.FRONTIER, amount=Decimal(1000))
    decision.lines.create(tier=Tier.STANDARD, amount=Decimal(2000))


def test_the_cap_of_a_team_binds_the_choice_and_the_hand(company: Company) -> None:
    stage = open_stage(company, team_cap="0.25")
    first, second, *_ = crowded(stage)

    rows = pitch_results(run(stage))

    assert [row["outcome"] for row in rows.values()] == ["fund", "waitlist", "waitlist", "waitlist"]
    assert rows[second.pk]["reason"] == "team_cap"
    assert "above the $2,500.00 that one team can get" in rows[second.pk]["text"]
    with pytest.raises(Refused, match="can still go to one team") as refused:
        stage.fund(first, "2500.01", Tier.ECONOMY)
    assert refused.value.code == "over_team_cap"


def test_rounds_without_money_are_counted_back_from_the_latest(stage: Stage, company: Company) -> None:
    pitch = stage.submitted(value="1")
    stage.to_decide(pitch)
    run(stage)
    adopt(stage)
    services.round_publish(actor=company.gil, round_=stage.round)

    teams = {company.claims.pk, company.fraud.pk}
    assert rounds_unfunded(teams, before=Round(pk=0)) == {company.claims.pk: 1}
    assert rounds_unfunded(teams, before=stage.round) == {}


def test_a_recused_member_reads_nothing_of_that_pitch(stage: Stage, company: Company) -> None:
    one, other = stage.submitted("One"), stage.submitted("Other")
    services.recusal_declare(actor=company.fay, pitch=other, reason="I advised the team on it.")
    stage.to_decide(one, other)
    run(stage)

    all_of_it, hers = choice_of(company.gil, stage.now()), choice_of(company.fay, stage.round)

    assert all_of_it is not None
    assert hers is not None
    assert [row.pitch.title for row in hers.rows] == ["One"]
    assert (hers.hidden, hers.cost) == (1, hers.rows[0].cost)
    assert all_of_it.cost > hers.cost


def test_nothing_is_adopted_where_everything_is_decided_by_hand(stage: Stage) -> None:
    stage.offered()

    assert adopted_selection(stage.round) is None
    assert PitchOption.objects.exists()
