"""Publication: every pitch with its figures, its reason, what displaced it and what would have changed it."""

import csv
import hashlib
import json
from dataclasses import replace
from decimal import Decimal
from io import StringIO

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client

from ledger.models import Tier
from ledger.money import usd
from ledger.selectors import today
from pitches import services
from pitches.models import (
    Choice,
    Decision,
    Force,
    Offer,
    Override,
    OverrideCategory,
    Pitch,
    Result,
    Round,
    Selection,
)
from pitches.questions import ValueKind
from pitches.selectors.results import results_published
from pitches.services import Outturn, Rules
from teams.models import Notification
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, error_beside, page_of, rows
from tests.pages import typed as stands_in
from tests.pitches.stage import ITEM, Stage, calendar, of, queries_of

pytestmark = pytest.mark.django_db

ONE_SIZE = replace(ITEM, tier=Tier.ECONOMY, calls_min=444_445, calls_target=444_445, calls_stretch=444_445)
"""2,400.01 dollars over the period; three fit into 9,000."""
REASON = "The regulator asks for this one by name; the letter is in the folder of the board."


def published(stage: Stage, *titles_and_values: tuple[str, str]) -> list[Pitch]:
    """Play a round with pitches of one size by the exact choice, up to its publication."""
    pitches = [stage.submitted(title, value=value, items=(ONE_SIZE,)) for title, value in titles_and_values]
    stage.to_decide(*pitches)
    choose_and_publish(stage)
    return pitches


def choose_and_publish(stage: Stage) -> None:
    gil = stage.company.gil
    services.selection_run(actor=gil, round_=stage.round)
    services.selection_adopt(actor=gil, round_=stage.round)
    services.round_publish(actor=gil, round_=stage.round)
    stage.now()


def next_round(stage: Stage) -> Stage:
    """Open another round of 10,000 dollars with the same committee."""
    gil = stage.company.gil
    round_ = services.round_create(
        actor=gil,
        name="Q2",
        cap=usd(10_000),
        calendar=calendar(),
        starts_on=stage.round.starts_on,
        months=6,
        rules=Rules(reserve_share=Decimal("0.1"), hurdle=Decimal("1.2"), quorum=3),
    )
    for member in stage.members:
        services.seat_set(actor=gil, round_=round_, user=member, is_chair=member == gil)
    services.round_open(actor=gil, round_=round_, reason="The second quarter")
    later = replace(stage, round=round_)
    later.now()
    return later


FOUR = (("First", "50000"), ("Second", "40000"), ("Third", "30000"), ("Fourth", "20000"))


def test_every_pitch_is_published_with_what_its_result_is_made_of(stage: Stage) -> None:
    services.claim_resolve(
        actor=stage.company.hana,
        team=stage.company.claims,
        outturn=Outturn(ValueKind.SAVING, usd(1000), usd(1000), today()),
        reason="Read in the books of the department.",
    )

    *_, fourth = published(stage, *FOUR)

    result = Result.objects.get(pitch=fourth)
    # (1,000 + 4 x 1,000 x 0.6) / (1,000 + 4 x 1,000) of 20,000
    assert (result.factor, result.k, result.quality, result.value, result.worth) == (
        Decimal("0.68"),
        Decimal(1),
        Decimal(1),
        Decimal(20_000),
        Decimal(13_600),
    )
    assert (result.mean, result.median, result.disagreement) == (Decimal(8), Decimal(8), Decimal(0))
    assert (result.outcome, result.reason_code, result.waitlist_place) == ("waitlist", "displaced", 1)
    assert result.displaced_by == [Pitch.objects.get(title="Third").pk]
    assert result.smallest_change == {"offer": "full", "label": "As asked", "worth_raise": 680_001, "fits_at": 179_997}
    assert result.option is not None
    assert result.option.offer == "full"


def test_offers_go_out_as_the_choice_says_and_the_others_read_why(stage: Stage, company: Company) -> None:
    first, *_, fourth = published(stage, *FOUR)

    assert Offer.objects.count() == 3
    offer = Offer.objects.get(pitch=first)
    assert [(line.tier, line.awarded) for line in offer.lines.all()] == [("economy", Decimal("2400.01"))]
    fourth.refresh_from_db()
    assert fourth.state == "waitlisted"
    told = Notification.objects.get(user=company.ana, title="Fourth was waitlisted")
    assert told.body.startswith("On the waitlist, place 1. Its best offer, “As asked”, is worth $12,000.00")


def test_the_page_explains_each_decision_to_somebody_who_has_never_seen_it(stage: Stage, company: Company) -> None:
    published(stage, *FOUR)
    client = company.client(company.cy)

    page = client.get(f"/rounds/{stage.round.pk}/results/")

    assert_readable(page)
    table = {row[0].split()[0]: row for row in rows(page, "Results, table")}
    assert table["Fourth"][1:7] == [
        "Waitlist 1 best offer: As asked",
        "$2,400.01",
        "$12,000.00 5.00 per dollar",
        "8.0 median 8.0, spread 0.0",
        "1.0000 z 0.0000",
        "0.6000",
    ]
    assert "Displaced by Third." in table["Fourth"][7]
    times = " \N{MULTIPLICATION SIGN} "
    formula = (
        "$20,000.00 claimed x 0.6000 for what the team's past claims delivered x 1.0000 quality x 1.0000 conviction of "
        "the committee = $12,000.00"
    )
    assert formula.replace(" x ", times) in table["Fourth"][7]
    assert "no claim of the team is resolved yet" in table["Fourth"][7]
    assert "On the tier that was asked for the quality is 1." in table["Fourth"][7]
    text = page_of(page).text
    assert "1 + 0.25 x z, at least 0.5 and at most 1.5".replace(" x ", times) in text
    assert "10 % is kept back, so $9,000.00 can be awarded." in text
    assert "One team" not in text  # the round has no such cap
    assert "No other set of offers that fits is worth more: that is proved." in text
    assert "found the same worth" in text
    assert stage.now().seed in text
    assert "A cap of $10,500.00 would buy $72,000.00 of worth" in text


def test_the_page_says_what_happened_since_and_why(stage: Stage, company: Company) -> None:
    first, *_, fourth = published(stage, *FOUR)
    services.offer_decline(actor=first.owner, offer=Offer.objects.get(pitch=first), reason="We do it without")

    page = company.client(company.cy).get(f"/rounds/{stage.round.pk}/results/")

    told = {row[0].split()[0]: row[1] for row in rows(page, "Results, table")}
    assert told["First"].endswith("since then: declined by the team")
    assert told["Fourth"].endswith("since then: money came free, offered, not answered yet")
    fourth.refresh_from_db()
    assert fourth.state == "offered"


def test_a_larger_cap_is_shown_even_when_it_drops_a_pitch(stage: Stage) -> None:
    # 8,999.10 dollars and 12,000 of worth fit alone; with 9,450 two others of 4,500 each and 15,000 together do.
    large = replace(ONE_SIZE, calls_min=1_666_500, calls_target=1_666_500, calls_stretch=1_666_500)
    half = replace(ONE_SIZE, calls_min=838_000, calls_target=838_000, calls_stretch=838_000)
    one = stage.submitted("Large", value="20000", items=(large,))
    others = [stage.submitted(title, value="12500", items=(half,)) for title in ("Left", "Right")]
    stage.to_decide(one, *others)
    choose_and_publish(stage)

    found = results_published(stage.round)

    assert found is not None
    assert [pitch.title for pitch in found.dropped] == ["Large"]
    assert [pitch.title for pitch in found.added] == ["Left", "Right"]


def test_everybody_who_sees_the_round_reads_its_results_after_publication_only(stage: Stage, company: Company) -> None:
    pitch = stage.submitted("First", value="50000", items=(ONE_SIZE,))
    stage.to_decide(pitch)
    services.selection_run(actor=company.gil, round_=stage.round)
    services.selection_adopt(actor=company.gil, round_=stage.round)
    paths = [f"/rounds/{stage.round.pk}/results{suffix}" for suffix in ("/", ".csv", ".json")]

    before = {company.client(company.person(name)).get(path).status_code for name in PEOPLE for path in paths}
    services.round_publish(actor=company.gil, round_=stage.round)
    after = {company.client(company.person(name)).get(path).status_code for name in PEOPLE for path in paths}

    assert (before, after) == ({404}, {200})
    assert company.client().get(paths[0]).status_code == 302


def test_csv_and_json_say_the_same(stage: Stage, company: Company) -> None:
    published(stage, *FOUR)
    client = company.client(company.ana)

    table = client.get(f"/rounds/{stage.round.pk}/results.csv")
    said = client.get(f"/rounds/{stage.round.pk}/results.json").json()

    lines = list(csv.DictReader(StringIO(b"".join(table).decode())))
    assert [line["Title"] for line in lines] == ["First", "Second", "Third", "Fourth"]
    assert [line["Worth, USD"] for line in lines] == ["30000", "24000", "18000", "12000"]
    assert [Decimal(row["worth"]) for row in said["results"]] == [Decimal(line["Worth, USD"]) for line in lines]
    assert said["results"][3]["reason"] == lines[3]["Explanation"]
    selection = Result.objects.first().selection  # type: ignore[union-attr]
    assert said["inputs_sha256"] == hashlib.sha256(selection.inputs_text.encode()).hexdigest()
    assert (said["worth"], said["proved_optimal"], said["seed"]) == ("72000", True, stage.round.seed)


def test_no_ballot_of_a_member_leaves_with_the_results(stage: Stage, company: Company) -> None:
    published(stage, *FOUR)

    text = json.dumps(company.client(company.ana).get(f"/rounds/{stage.round.pk}/results.json").json())

    assert "scores" not in text
    for member in ("Gil", "Dee", "Eli"):
        assert member not in text


def test_a_team_reads_its_own_result_on_its_pitch(stage: Stage, company: Company) -> None:
    *_, fourth = published(stage, *FOUR)

    page = company.client(company.ana).get(of("", fourth))

    assert_readable(page)
    text = page_of(page).text
    for words in (
        "Others are worth more",
        "“As asked” would have been funded had it been worth $6,000.01 more",
        "Third",
    ):
        assert words in text
    assert rows(page, "Offers of Fourth, table") == [["As asked", "$2,400.01", "$12,000.00", "above"]]


def test_overrides_are_published_with_their_price_and_both_names(stage: Stage, company: Company) -> None:
    low = stage.submitted(
        "Low", value="10", items=(replace(ONE_SIZE, calls_min=9000, calls_target=9000, calls_stretch=9000),)
    )
    high = stage.submitted("High", value="50000", items=(ONE_SIZE,))
    stage.to_decide(low, high)
    override = services.override_propose(
        actor=company.gil, pitch=low, force=Force.IN, category=OverrideCategory.LAW, reason=REASON
    )
    services.override_sign(actor=company.dee, override=override)
    choose_and_publish(stage)

    page = company.client(company.cy).get(f"/rounds/{stage.round.pk}/results/")

    assert rows(page, "Overrides, table") == [
        [
            "Low Claims",
            "Fund it all the same",
            "$0.00",
            "$48.60",
            f"Law or regulation: {REASON}",
            "Gil Example and Dee Example",
        ]
    ]
    assert Result.objects.get(pitch=low).reason_code == "forced_in"


def test_a_round_that_was_decided_by_hand_has_no_results(stage: Stage, company: Company) -> None:
    stage.offered()

    assert results_published(stage.round) is None
    assert company.client(company.ana).get(f"/rounds/{stage.round.pk}/results/").status_code == 404
    assert "Every result explained" not in page_of(company.client(company.ana).get(f"/rounds/{stage.round.pk}/")).text


def test_a_deferred_pitch_goes_on_in_the_next_round(stage: Stage, company: Company) -> None:
    thin, other = stage.submitted("Thin"), stage.submitted("Other")
    stage.to_vote()
    stage.vote(company.gil, thin, Choice.YES, 9)
    for member in (company.gil, company.dee, company.eli):
        stage.vote(member, other)
    services.voting_close(actor=company.gil, round_=stage.round)
    choose_and_publish(stage)
    thin.refresh_from_db()
    later = next_round(stage).round
    ana = company.client(company.ana)
    assert "It was not judged" in page_of(ana.get(of("", thin))).text

    ana.post(of("carry-over/", thin), {"round": later.pk})

    thin.refresh_from_db()
    onward = Pitch.objects.get(round=later)
    assert (thin.state, onward.state, onward.title) == ("withdrawn", "draft", "Thin")


@pytest.mark.parametrize("change", ["UPDATE pitches_result SET worth = 1", "DELETE FROM pitches_result"])
def test_a_published_result_is_final(stage: Stage, change: str) -> None:
    published(stage, FOUR[0])

    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)


def test_results_take_as_many_queries_for_three_pitches_as_for_one(stage: Stage, company: Company) -> None:
    later = next_round(stage)
    published(stage, FOUR[0])
    published(later, *FOUR[:3])
    client = company.client(company.cy)

    one, three = (queries_of(client, f"/rounds/{round_.pk}/results/") for round_ in (stage.round, later.round))

    assert one == three


def choose(chair: Client, path: str) -> None:
    """Ask for the choice and let the background make it."""
    chair.post(f"{path}/choose/")
    services.choices_make_due()


class TestThePageOfTheCommittee:
    def test_the_chair_runs_adopts_and_publishes(self, stage: Stage, company: Company) -> None:
        pitches = [stage.submitted(title, value=value, items=(ONE_SIZE,)) for title, value in FOUR]
        stage.to_decide(*pitches)
        gil, path = company.client(company.gil), f"/admin/pitches/round/{stage.round.pk}"
        assert "Not run yet" in page_of(gil.get(f"{path}/decide/")).text

        choose(gil, path)
        board = gil.get(f"{path}/decide/")

        assert [row[:4] for row in rows(board, "The exact choice, table")] == [
            ["First Claims", "Fund As asked", "$2,400.01", "$30,000.00"],
            ["Second Claims", "Fund As asked", "$2,400.01", "$24,000.00"],
            ["Third Claims", "Fund As asked", "$2,400.01", "$18,000.00"],
            ["Fourth Claims", "Waitlist 1 As asked", "$2,400.01", "$12,000.00"],
        ]
        assert "$7,200.03 buy $72,000.00 of worth" in page_of(board).text
        gil.post(f"{path}/adopt/")
        assert (
            "3 offers of $7,200.03 together go out, 1 pitch is waitlisted" in page_of(gil.get(f"{path}/decide/")).text
        )
        gil.post(f"{path}/step/publish/")
        assert stage.now().state == "published"

    def test_nobody_else_runs_or_adopts_it(self, stage: Stage, company: Company) -> None:
        pitch = stage.submitted("First", value="50000", items=(ONE_SIZE,))
        stage.to_decide(pitch)
        paths = [f"/admin/pitches/round/{path}/" for path in (f"{stage.round.pk}/choose", f"{stage.round.pk}/adopt")]

        for name in set(PEOPLE) - {"gil"}:
            client = company.client(company.person(name))
            for path in paths:
                assert client.post(path).status_code in {302, 404}
            override = client.get(f"/admin/pitches/round/pitch/{pitch.pk}/override/")
            assert (override.status_code == 200) == (name in {"dee", "eli", "fay"})

        assert (Selection.objects.count(), Decision.objects.count()) == (0, 0)

    def test_two_members_depart_from_it(self, stage: Stage, company: Company) -> None:
        small = replace(ONE_SIZE, calls_min=9000, calls_target=9000, calls_stretch=9000)
        low = stage.submitted("Low", value="10", items=(small,))
        stage.to_decide(low)
        gil, dee = company.client(company.gil), company.client(company.dee)
        path, form = f"/admin/pitches/round/{stage.round.pk}", f"/admin/pitches/round/pitch/{low.pk}/override/"
        choose(gil, path)

        short = gil.post(form, {"force": "in", "category": "law", "reason": "Because."})
        assert short.status_code == 422
        assert "at least 50 characters" in error_beside(short, "reason")
        assert stands_in(short, "reason") == "Because."
        gil.post(form, {"force": "in", "category": "law", "reason": REASON})
        override = Override.objects.get()
        assert "waits for a second member" in page_of(gil.get(f"{path}/decide/")).text
        dee.post(f"/admin/pitches/round/override/{override.pk}/sign/")

        board = gil.get(f"{path}/decide/")
        assert "run it again before you adopt" in page_of(board).text
        assert "$48.60 of that are signed" in page_of(board).text
        choose(gil, path)
        assert [row[1] for row in rows(gil.get(f"{path}/decide/"), "The exact choice, table")] == ["Fund As asked"]
        gil.post(f"/admin/pitches/round/override/{override.pk}/withdraw/", {"reason": "The letter was withdrawn."})
        assert "withdrawn" in page_of(gil.get(f"{path}/decide/")).text

    def test_a_recused_member_finds_neither_the_pitch_nor_its_override(self, stage: Stage, company: Company) -> None:
        small = replace(ONE_SIZE, calls_min=9000, calls_target=9000, calls_stretch=9000)
        low = stage.submitted("Low", value="10", items=(small,))
        services.recusal_declare(actor=company.fay, pitch=low, reason="I built its pilot.")
        stage.to_decide(low)
        override = services.override_propose(
            actor=company.gil, pitch=low, force=Force.IN, category=OverrideCategory.LAW, reason=REASON
        )
        services.selection_run(actor=company.gil, round_=stage.round)
        fay, path = company.client(company.fay), f"/admin/pitches/round/{stage.round.pk}"

        text = page_of(fay.get(f"{path}/decide/")).text

        for secret in ("48.60", "regulator", "10.00", "Fund it all the same"):
            assert secret not in text
        assert fay.get(f"/admin/pitches/round/pitch/{low.pk}/override/").status_code == 404
        for action in ("sign", "withdraw"):
            assert fay.post(f"/admin/pitches/round/override/{override.pk}/{action}/").status_code == 404

    def test_it_takes_as_many_queries_for_three_pitches_as_for_one(self, stage: Stage, company: Company) -> None:
        pitches = [stage.submitted(title, value=value, items=(ONE_SIZE,)) for title, value in FOUR[:3]]
        stage.to_decide(*pitches)
        services.selection_run(actor=company.gil, round_=stage.round)
        gil, path = company.client(company.gil), f"/admin/pitches/round/{stage.round.pk}/decide/"
        three = queries_of(gil, path)
        Pitch.objects.filter(pk__in=[pitch.pk for pitch in pitches[1:]]).update(state="withdrawn")
        services.selection_run(actor=company.gil, round_=stage.round)

        assert queries_of(gil, path) == three


def test_a_rounds_results_are_of_that_round(stage: Stage) -> None:
    published(stage, FOUR[0])

    assert results_published(Round(pk=0, state="published")) is None
