"""Who stands for a pitch and with whom, what its numbers rest on, what other tiers reach, what it depends on."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import Error, transaction

from ledger.models import Tier
from pitches import services
from pitches.content import ApplicantContent, LinkContent, QualityContent
from pitches.forms.pitch import PitchDraft, rows_typed
from pitches.models import DraftApplicant, Pitch, PitchLink, PitchRevision, Recusal, RevisionQuality
from pitches.questions import Evidence, LinkKind
from pitches.selectors.pitches import pitches_of_teams, pitches_visible_to, revision_whole
from pitches.selectors.revisions import changes_between, quote_kept
from teams.errors import NotAllowed, Refused
from teams.models import Notification, User
from teams.selectors import history_of
from tests.cast import Company
from tests.pages import assert_readable, error_beside, page_of, rows
from tests.pages import typed as stands_in
from tests.pitches.stage import ITEM, Stage, content, of, open_round_asking, queries_of, typed

pytestmark = pytest.mark.django_db


def whole(pitch: Pitch) -> PitchRevision:
    pitch.refresh_from_db()
    revision = revision_whole(pitch)
    assert revision is not None
    return revision


def refused(stage: Stage, pitch: Pitch | None = None, **changes: Any) -> tuple[str, str]:
    with pytest.raises(Refused) as error:
        services.pitch_submit(
            actor=stage.company.ana, pitch=pitch or stage.pitch(), content=content(stage.company.kim, **changes)
        )
    return error.value.code, error.value.field


def test_the_owner_is_accountable_unless_somebody_else_is_named(stage: Stage, company: Company) -> None:
    assert whole(stage.submitted()).accountable == company.ana
    assert whole(stage.submitted("Letters", accountable=company.bo)).accountable == company.bo


def test_nobody_signs_off_what_they_answer_for_or_apply_for(stage: Stage, company: Company) -> None:
    assert refused(stage, accountable=company.kim) == ("own_sign_off", "accountable")
    kim = ApplicantContent(company.kim, "Data")
    assert refused(stage, applicants=(kim,)) == ("own_sign_off", "applicants-0-email")


def test_rows_are_named_once(stage: Stage, company: Company) -> None:
    cy, good = ApplicantContent(company.cy, "Data"), QualityContent(Tier.ECONOMY, Decimal("0.9"), "On 200 claims")
    assert refused(stage, applicants=(cy, cy)) == ("named_twice", "applicants-1-email")
    assert refused(stage, quality=(good, good)) == ("named_twice", "quality-1-tier")


def test_every_workflow_says_what_its_numbers_rest_on(stage: Stage) -> None:
    items = (ITEM, replace(ITEM, workflow="Letters", evidence=Evidence.MEASURED))

    revision = whole(stage.submitted(items=items))

    # What nobody labelled is a guess.
    assert [item.evidence for item in revision.line_items.all()] == ["guess", "measured"]


def test_quality_of_other_tiers_is_kept_beside_the_ask(stage: Stage) -> None:
    measured = QualityContent(Tier.ECONOMY, Decimal("0.875"), "On 200 claims of March")

    revision = whole(stage.submitted(quality=(measured,)))

    [kept] = revision.quality.all()
    assert (kept.tier, kept.quality, kept.evidence) == ("economy", Decimal("0.8750"), "On 200 claims of March")


@pytest.mark.parametrize("percent", ["0", "100.01", "-1", "1e1", "90,5", "x"])
def test_a_quality_is_above_0_and_up_to_100_percent(stage: Stage, percent: str) -> None:
    fields = {"quality-0-tier": "economy", "quality-0-percent": percent, "quality-0-evidence": "On 200 claims"}

    wrong = PitchDraft(typed(stage.company.kim, **fields), stage.pitch()).messages()

    assert wrong == {"quality-0-percent": ["Above 0, up to 100, such as 97.5."]}


def named(stage: Stage, email: str = "cy@acorn.example") -> Pitch:
    pitch = stage.pitch()
    row = {"applicants-0-email": email, "applicants-0-role": "Owns the fraud marks"}
    return services.draft_save(
        actor=stage.company.ana, pitch=pitch, typed={**typed(stage.company.kim), **row}, version=pitch.draft_version
    )


def test_a_co_applicant_is_told_and_reads_and_edits_the_draft(stage: Stage, company: Company) -> None:
    pitch = named(stage)

    assert "Go on writing" in page_of(company.client(company.cy).get(of("", pitch))).one("main").text
    [notice] = Notification.objects.filter(user=company.cy)
    assert (notice.title, notice.url) == (
        "Ana Example named you as co-applicant of Claims triage",
        f"/pitches/{pitch.pk}/edit/",
    )
    cy = company.client(company.cy)
    page = cy.get(of("edit/", pitch))
    assert_readable(page)
    assert "cy@acorn.example, Owns the fraud marks" in page_of(page).one("section", id="people").text
    fields = {**typed(company.kim, problem="Both teams read."), "version": str(pitch.draft_version)}
    assert cy.post(of("draft/", pitch), fields).status_code == 200
    pitch.refresh_from_db()
    assert pitch.draft["problem"] == "Both teams read."
    assert rows_typed(pitch.draft, "applicants") == [{"email": "cy@acorn.example", "role": "Owns the fraud marks"}]
    assert list(pitches_of_teams(company.cy)) == [pitch]


def test_a_co_applicant_neither_submits_nor_withdraws_nor_names_others(stage: Stage, company: Company) -> None:
    pitch = named(stage)

    with pytest.raises(NotAllowed):
        services.pitch_submit(actor=company.cy, pitch=pitch, content=content(company.kim))
    with pytest.raises(NotAllowed):
        services.pitch_withdraw(actor=company.cy, pitch=pitch, reason="No time for it.")
    with pytest.raises(NotAllowed, match="name co-applicants"):
        services.draft_save(actor=company.cy, pitch=pitch, typed={"applicants-0-email": "dee@acorn.example"}, version=1)
    # Nor does what their browser sends.
    company.client(company.cy).post(
        of("draft/", pitch), {**typed(company.kim), "applicants-0-email": "dee@acorn.example", "version": "1"}
    )
    assert [row.user for row in DraftApplicant.objects.filter(pitch=pitch)] == [company.cy]
    assert company.client(company.cy).get(of("items/from-key/", pitch)).status_code == 404


def test_whoever_is_named_no_more_is_out_and_told_once(stage: Stage, company: Company) -> None:
    pitch = named(stage)

    services.draft_save(actor=company.ana, pitch=pitch, typed=typed(company.kim), version=1)
    assert not pitches_visible_to(company.cy).exists()
    assert company.client(company.cy).get(of("edit/", pitch)).status_code == 404
    again = {**typed(company.kim), "applicants-0-email": "CY@acorn.example"}
    services.draft_save(actor=company.ana, pitch=pitch, typed=again, version=2)

    assert pitches_visible_to(company.cy).get() == pitch
    assert Notification.objects.filter(user=company.cy).count() == 1
    assert [event.verb for event in reversed(history_of("pitches.pitch", pitch.pk))] == [
        "pitch.create",
        "pitch.applicant_add",
        "pitch.applicant_remove",
        "pitch.applicant_add",
    ]


def test_an_address_that_nobody_has_lets_nobody_in(stage: Stage) -> None:
    pitch = named(stage, "nobody@acorn.example")

    assert DraftApplicant.objects.count() == 0
    assert PitchDraft(pitch.draft, pitch).messages() == {"applicants-0-email": ["Nobody in Tank has this address."]}


def test_a_member_who_applies_too_is_recused(stage: Stage, company: Company) -> None:
    pitch = stage.submitted(applicants=(ApplicantContent(company.dee, "Knows the old process"),))

    recusal = Recusal.objects.get(pitch=pitch, member=company.dee)

    assert recusal.reason == "Dee Example applies with the team."
    with pytest.raises(NotAllowed):
        services.pitch_return(actor=company.dee, pitch=pitch, note="What is the baseline?")


def test_a_pitch_is_tied_to_others_of_its_round_that_its_team_may_know_of(stage: Stage, company: Company) -> None:
    submitted = stage.submitted("Fraud graph", team=company.fraud, lead=company.cy)
    own_draft = stage.pitch("Letters")

    pitch = stage.submitted(
        links=(LinkContent(LinkKind.INCOMPATIBLE, submitted), LinkContent(LinkKind.REQUIRES, own_draft))
    )

    assert [(link.kind, link.other) for link in whole(pitch).links.all()] == [
        ("incompatible", submitted),
        ("requires", own_draft),
    ]


def test_a_tie_to_a_pitch_that_is_none_of_its_business_is_refused(stage: Stage, company: Company) -> None:
    hidden = stage.pitch("Fraud graph", team=company.fraud, lead=company.cy)
    elsewhere = services.pitch_create(
        actor=company.ana,
        round_=open_round_asking(company, PitchDraft({}).terms),
        team=company.claims,
        title="Elsewhere",
    )
    pitch = stage.pitch()

    for other in (hidden, elsewhere, pitch):
        tie = LinkContent(LinkKind.REQUIRES, other)
        assert refused(stage, pitch, links=(tie,)) == ("bad_link", "links-0-number")
        fields = typed(company.kim, **{"links-0-kind": "requires", "links-0-number": other.number})
        assert PitchDraft(fields, pitch).messages() == {"links-0-number": ["There is no such pitch in this round."]}


def test_the_database_itself_refuses_ties_across_rounds_and_rows_that_come_late(stage: Stage, company: Company) -> None:
    revision, other = stage.submitted().submitted, stage.submitted("Letters")

    with pytest.raises(Error, match="complete"), transaction.atomic():
        RevisionQuality.objects.create(revision_id=0, tier=Tier.ECONOMY, quality=1, evidence="Later")
    with pytest.raises(Error, match="its own round"), transaction.atomic():
        PitchLink.objects.create(revision=revision, kind=LinkKind.REQUIRES, other_id=revision.pitch_id)
    PitchLink.objects.create(revision=revision, kind=LinkKind.REQUIRES, other=other)
    with pytest.raises(Error), transaction.atomic():
        PitchLink.objects.all().delete()


FIELDS = {
    "accountable": "bo@acorn.example",
    "items-0-evidence": "analogue",
    "applicants-TOTAL_FORMS": "2",
    "applicants-0-email": "cy@acorn.example",
    "applicants-0-role": "Owns the fraud marks",
    "quality-0-tier": "economy",
    "quality-0-percent": "87.5 %",
    "quality-0-evidence": "On 200 claims of March",
}


def submitted_whole(stage: Stage) -> Pitch:
    other = stage.submitted("Letters")
    pitch = stage.pitch()
    fields = typed(stage.company.kim, **FIELDS, **{"links-0-kind": "requires", "links-0-number": other.number.lower()})
    data = {**fields, "version": "0", "intent": "submit"}
    answer = stage.company.client(stage.company.ana).post(of("edit/", pitch), data)
    assert answer.status_code == 302
    pitch.refresh_from_db()
    return pitch


def test_everything_typed_is_shown_to_the_team_and_the_committee_and_told_to_programs(
    stage: Stage, company: Company
) -> None:
    pitch = submitted_whole(stage)
    stage.to_review()

    for reader, path in ((company.ana, of("", pitch)), (company.gil, f"/admin/pitches/round/pitch/{pitch.pk}/")):
        page = page_of(company.client(reader).get(path))
        words = page.one("body").text
        for said in (
            "Accountable Bo Example",
            "Business unit Insurance",
            "Co-applicant Cy Example Owns the fraud marks",
            "Needs first P-",
            "Economy 87.5 % On 200 claims of March",
        ):
            assert said in words, (reader.name, said)
    content_ = company.client(company.jo).get(f"/api/v1/pitches/{pitch.pk}/").json()["content"]
    assert content_["accountable"] == "bo@acorn.example"
    assert content_["co_applicants"] == [{"email": "cy@acorn.example", "role": "Owns the fraud marks"}]
    assert content_["quality"] == [{"tier": "economy", "quality": "0.8750", "evidence": "On 200 claims of March"}]
    assert [link["kind"] for link in content_["links"]] == ["requires"]
    assert content_["line_items"][0]["evidence"] == "analogue"
    assert content_["milestones"] == [{"title": "Pilot with one desk", "due_on": "2027-01-31"}]


def test_a_tie_tells_nobody_the_title_of_a_pitch_that_is_sealed_to_them(stage: Stage, company: Company) -> None:
    other = stage.submitted("Fraud graph", team=company.fraud, lead=company.cy)
    pitch = stage.submitted(links=(LinkContent(LinkKind.REQUIRES, other),))

    def words(reader: User) -> str:
        return page_of(company.client(reader).get(of("", pitch))).one("main").text

    assert other.number in words(company.ana)
    assert "Fraud graph" not in words(company.ana)
    stage.peek(company.dee, pitch)
    assert "Fraud graph" not in words(company.dee)
    stage.to_review()
    assert "Fraud graph" not in words(company.ana)
    assert f"Needs first {other.number} Fraud graph" in words(company.dee)


def test_every_change_stands_in_the_diff(stage: Stage, company: Company) -> None:
    pitch = submitted_whole(stage)
    stage.to_review()
    services.pitch_return(actor=company.gil, pitch=pitch, note="Who else is in it?")
    services.pitch_submit(actor=company.ana, pitch=pitch, content=content(company.kim))

    before = revision_whole(pitch, 1)
    after = whole(pitch)

    assert before is not None
    changes = [change.label.rstrip("0123456789") for change in changes_between(before, after)]
    assert changes == ["Accountable", "Line item ", "Co-applicant Cy Example", "Tie to P-", "Quality, Economy"]


def test_rows_of_every_kind_are_added_and_removed_without_a_reload(stage: Stage, company: Company) -> None:
    pitch, ana = stage.pitch(), company.client(company.ana)
    data = {**typed(company.kim, **FIELDS), "version": "0"}

    for place, rows_ in enumerate(("applicants", "quality", "links")):
        data["version"] = str(place)
        answer = ana.post(of("edit/", pitch), {**data, "intent": f"add-{rows_}"}, headers={"HX-Request": "true"})
        assert page_of(answer).one("div", id=rows_).attrs["id"] == rows_
    removed = ana.post(
        of("edit/", pitch), {**data, "version": "3", "intent": "remove-applicants-0"}, headers={"HX-Request": "true"}
    )
    assert stands_in(removed, "applicants-0-email") == ""


def test_what_a_service_refuses_in_a_row_stands_beside_it(stage: Stage, company: Company) -> None:
    fields = typed(company.kim, **{"applicants-0-email": "kim@acorn.example", "applicants-0-role": "Signs"})
    pitch = stage.pitch()

    answer = company.client(company.ana).post(of("edit/", pitch), {**fields, "version": "0", "intent": "submit"})

    assert answer.status_code == 422
    assert error_beside(answer, "applicants-0-email") == "Who signs off the value does not apply as well."
    assert_readable(answer)


def test_value_stands_against_cost_on_every_tier_with_its_rate_card(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()

    page = company.client(company.ana).get(of("", pitch))

    quote = page_of(page).one("section", id="quote")
    # 2,400 dollars as asked, 12,000 on frontier, 540 on economy, 1,200 on batch; worth 25,000, 50,000 or 100,000.
    assert [[cell.text for cell in row.children] for row in quote.all("table")[1].all("tr")] == [
        ["Tier", "Cautious", "Expected", "Hopeful"],
        ["As asked", "10.4", "20.8", "41.7"],
        ["Frontier", "2.1", "4.2", "8.3"],
        ["Standard", "10.4", "20.8", "41.7"],
        ["Economy", "46.3", "92.6", "185.2"],
        ["Batch", "20.8", "41.7", "83.3"],
    ]
    assert f"at rate card {pitch.submitted.rate_card_version}" in quote.text
    kept = quote_kept(whole(stage.submitted("Cached", items=(replace(ITEM, cached_tokens=250, batch_percent=40),))))
    assert (kept.cached_share, kept.batch_share) == (Decimal("0.25"), Decimal("0.4"))
    assert rows(page, "Workflows, table")[0][0] == "Triage guess"


def test_a_form_with_three_rows_of_each_kind_asks_as_often_as_one_with_one(stage: Stage, company: Company) -> None:
    ana, others = company.client(company.ana), [stage.submitted(title) for title in ("A", "B", "C")]

    def rows_of(count: int) -> dict[str, str]:
        emails = ("cy", "dee", "eli")
        fields = {f"{kind}-TOTAL_FORMS": str(count) for kind in ("applicants", "quality", "links")}
        for place in range(count):
            fields |= {
                f"applicants-{place}-email": f"{emails[place]}@acorn.example",
                f"applicants-{place}-role": "Data",
                f"links-{place}-kind": "requires",
                f"links-{place}-number": others[place].number,
                f"quality-{place}-tier": ("economy", "batch", "frontier")[place],
                f"quality-{place}-percent": "90",
                f"quality-{place}-evidence": "On 200 claims",
            }
        return typed(company.kim, **fields)

    asked: list[int] = []
    shown: list[int] = []
    for count in (1, 3):
        pitch = stage.pitch(f"With {count}")
        services.draft_save(actor=company.ana, pitch=pitch, typed=rows_of(count), version=0)
        asked.append(queries_of(ana, of("edit/", pitch)))
        pitch.refresh_from_db()
        draft = PitchDraft(pitch.draft, pitch)
        assert draft.is_valid(), draft.messages()
        services.pitch_submit(actor=company.ana, pitch=pitch, content=draft.content())
        shown.append(queries_of(ana, of("", pitch)))
    assert asked[0] == asked[1]
    assert shown[0] == shown[1]
