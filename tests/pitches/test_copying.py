"""A new pitch out of an earlier one: its text comes along letter by letter, and what came of it stands beside it."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from django.db import Error, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allocations.metering.types import CallFacts, Tokens
from allocations.models import Allocation, StopBehaviour
from allocations.services import key_issue
from ledger.models import Tier
from ledger.rating import cost
from pitches import services
from pitches.content import ApplicantContent, ItemContent, MilestoneContent, PitchContent, QualityContent
from pitches.forms.copying import typed_last, typed_of
from pitches.forms.pitch import LONGEST_TEXT, PitchDraft
from pitches.forms.rows import MOST_CALLS, MOST_TOKENS
from pitches.models import Pitch
from pitches.questions import CHECKLIST, Answer, DataClass, Evidence, Latency, ValueKind
from pitches.selectors.earlier import earlier_of, earlier_shown
from teams.errors import NotAllowed, Refused
from teams.models import AuditEvent
from tests.budget import Till
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, error_beside, page_of
from tests.pitches import files
from tests.pitches.stage import ITEM, Stage, content, of, typed

pytestmark = pytest.mark.django_db


def draft_of(pitch: Pitch) -> PitchContent:
    """Return what a draft says; fails when something in it is missing or wrong."""
    draft = PitchDraft(pitch.draft, pitch)
    assert draft.is_valid(), draft.messages()
    return draft.content()


# --- A revision, typed again --------------------------------------------------------------------

CLEAN = st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(" \n'\"<>&,;")
TEXT = st.text(CLEAN, min_size=1, max_size=80).map(str.strip).filter(bool)
LINE = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=60)
LINE = LINE.map(str.strip).filter(bool)
CALLS, TOKENS = st.integers(1, MOST_CALLS), st.integers(0, MOST_TOKENS)
CENTS = st.integers(1, 10**13).map(lambda cents: Decimal(cents) / 100)


@st.composite
def items(draw: st.DrawFn) -> ItemContent:
    least, target, most = sorted(draw(CALLS) for _ in range(3))
    cached, total = sorted(draw(TOKENS) for _ in range(2))
    return ItemContent(
        workflow=draw(LINE),
        tier=draw(st.sampled_from(Tier)),
        calls_min=least,
        calls_target=target,
        calls_stretch=most,
        input_tokens=max(total, 1),
        cached_tokens=cached,
        output_tokens=draw(TOKENS),
        batch_percent=draw(st.integers(0, 100)),
        evidence=draw(st.sampled_from(Evidence)),
    )


MILESTONES = st.builds(MilestoneContent, LINE, st.dates(date(2026, 1, 1), date(2040, 12, 31)))


SHARES = st.integers(1, 10_000).map(lambda share: Decimal(share) / 10_000)
QUALITY = st.lists(
    st.builds(QualityContent, st.sampled_from(Tier), SHARES, LINE), max_size=3, unique_by=lambda row: row.tier
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_a_revision_typed_again_says_the_same(stage: Stage, company: Company, data: st.DataObject) -> None:
    low, middle, high = sorted(data.draw(CENTS) for _ in range(3))
    said = PitchContent(
        title=data.draw(LINE),
        value_metric=data.draw(LINE),
        summary=data.draw(TEXT),
        problem=data.draw(TEXT),
        value_method=data.draw(TEXT),
        quality_bar=data.draw(TEXT),
        compliance_note=data.draw(TEXT),
        value_kind=data.draw(st.sampled_from(ValueKind)),
        value_p10=low,
        value_p50=middle,
        value_p90=high,
        evidence=data.draw(st.sampled_from(Evidence)),
        sign_off=company.kim,
        data_class=data.draw(st.sampled_from(DataClass)),
        compliance={question.code: data.draw(st.sampled_from(Answer)).value for question in CHECKLIST},
        latency=data.draw(st.sampled_from(Latency)),
        stop_behaviour=data.draw(st.sampled_from(StopBehaviour)),
        items=tuple(data.draw(st.lists(items(), min_size=1, max_size=3))),
        milestones=tuple(data.draw(st.lists(MILESTONES, min_size=1, max_size=3))),
        accountable=data.draw(st.sampled_from([None, company.bo])),
        applicants=data.draw(
            st.just(()) | st.builds(ApplicantContent, st.just(company.jo), LINE).map(lambda one: (one,))
        ),
        quality=tuple(data.draw(QUALITY)),
    )
    with transaction.atomic():
        pitch = stage.pitch()
        revision = services.pitch_submit(actor=company.ana, pitch=pitch, content=said)

        draft = PitchDraft(typed_of(revision), pitch)

        assert draft.is_valid(), draft.messages()
        assert draft.content() == replace(said, accountable=said.accountable or company.ana)
        transaction.set_rollback(True)


def test_the_longest_texts_fit_again(stage: Stage, company: Company) -> None:
    long = "é" * LONGEST_TEXT
    pitch = stage.submitted(summary=long, problem=long, value_method=long, quality_bar=long)

    assert PitchDraft(typed_of(pitch.submitted), pitch).is_valid()


# --- Copying ------------------------------------------------------------------------------------


def test_a_copy_begins_with_everything_that_was_submitted(stage: Stage, company: Company) -> None:
    source = stage.pitch()
    services.attachment_add(actor=company.ana, pitch=source, name="notes.txt", declared="", content=files.TXT)
    said = content(company.kim, items=(ITEM, replace(ITEM, workflow="Letters", tier=Tier.ECONOMY)))
    services.pitch_submit(actor=company.ana, pitch=source, content=said)
    source.refresh_from_db()

    copy = services.pitch_copy(
        actor=company.bo,
        source=source,
        typed=typed_last(source),
        round_=stage.round,
        team=company.claims,
        title="Claims triage, second year",
    )

    # Where nobody is named, the owner is accountable, and the submission says so.
    assert draft_of(copy) == replace(said, title="Claims triage, second year", accountable=company.ana)
    assert (copy.title, copy.owner, copy.state, copy.continues) == (
        "Claims triage, second year",
        company.bo,
        "draft",
        None,
    )
    assert [(one.name, bytes(one.content)) for one in copy.attachments.all()] == [("notes.txt", files.TXT)]
    event = AuditEvent.objects.get(verb="pitch.create", object_id=str(copy.pk))
    assert (event.details["copied_from"], event.details["continues"]) == (source.pk, None)


def test_a_copy_of_a_draft_has_what_was_typed_right_or_wrong(stage: Stage, company: Company) -> None:
    source = stage.pitch()
    words = typed(company.kim, value_p50="about a million")
    source = services.draft_save(actor=company.ana, pitch=source, typed=words, version=0)

    assert typed_last(source) == words


def test_a_returned_pitch_is_copied_as_it_was_typed_since(stage: Stage, company: Company) -> None:
    source = stage.submitted()
    assert typed_last(source)["problem"] == "Two people read every claim first."
    stage.to_review()
    source = services.pitch_return(actor=company.dee, pitch=source, note="How was it measured?")
    words = typed(company.kim, problem="Three people read every claim.")
    source = services.draft_save(actor=company.ana, pitch=source, typed=words, version=0)
    with connection.cursor() as cursor:  # the story is one transaction, so its clock stands still
        cursor.execute("UPDATE pitches_pitch SET draft_saved_at = now() + interval '1 minute'")
    source.refresh_from_db()

    assert typed_last(source)["problem"] == "Three people read every claim."


def test_only_the_team_copies_its_pitches(stage: Stage, company: Company) -> None:
    source = stage.submitted()
    api, words = f"/api/v1/pitches/{source.pk}/copy/", {"round": stage.round.pk, "team": "fraud"}

    for name in set(PEOPLE) - {"ana", "bo"}:
        person = company.person(name)
        with pytest.raises(NotAllowed):
            services.pitch_copy(
                actor=person, source=source, typed={}, round_=stage.round, team=company.fraud, title="Theirs"
            )
        assert company.client(person).post(api, words, content_type="application/json").status_code == 404


def test_a_co_applicant_does_not_take_a_pitch_to_another_team(stage: Stage, company: Company) -> None:
    source = stage.submitted(applicants=(ApplicantContent(company.cy, "Owns the fraud marks"),))

    assert "An empty form" not in company.client(company.cy).get("/pitches/new/").content.decode()
    with pytest.raises(NotAllowed):
        services.pitch_copy(actor=company.cy, source=source, typed={}, round_=stage.round, team=company.fraud)


def test_a_new_pitch_offers_the_earlier_ones_of_the_own_teams(stage: Stage, company: Company) -> None:
    ana, cy = company.client(company.ana), company.client(company.cy)
    assert "An empty form" not in ana.get("/pitches/new/").content.decode()
    source = stage.submitted()

    page = ana.get(f"/pitches/new/?source={source.pk}")
    assert_readable(page)
    options = page_of(page).one("select", id="id_source").all("option")
    assert [option.text for option in options] == [
        "An empty form",
        f"{source.number} Claims triage (Claims, Q1, submitted)",
    ]
    assert "selected" in options[1].attrs
    assert "An empty form" not in cy.get("/pitches/new/").content.decode()

    where = {"team": company.claims.pk, "round": stage.round.pk}
    assert error_beside(ana.post("/pitches/new/", where), "title") == "Give it a title."
    ana.post("/pitches/new/", {**where, "source": source.pk, "how": "continue", "title": ""})
    made = Pitch.objects.latest("pk")
    assert (made.title, made.continues) == ("Claims triage", source)
    theirs = {"source": source.pk, "team": company.fraud.pk, "round": stage.round.pk, "title": "Theirs"}
    cy.post("/pitches/new/", theirs)
    assert Pitch.objects.latest("pk").draft == {"title": "Theirs"}


def test_programs_copy_and_continue(stage: Stage, company: Company) -> None:
    source, ana = stage.submitted(), company.client(company.ana)
    words = {"round": stage.round.pk, "team": "claims", "continues": True}

    made = ana.post(f"/api/v1/pitches/{source.pk}/copy/", words, content_type="application/json")

    assert (made.status_code, made.json()["title"], made.json()["state"]) == (201, "Claims triage", "draft")
    assert Pitch.objects.get(pk=made.json()["id"]).continues == source


# --- Continuing ---------------------------------------------------------------------------------


def continued(stage: Stage, source: Pitch) -> Pitch:
    """Begin what continues a pitch, in another round that is open."""
    source.refresh_from_db()
    return services.pitch_copy(
        actor=stage.company.ana,
        source=source,
        typed=typed_last(source),
        round_=stage.following(),
        team=stage.company.claims,
        is_continuation=True,
    )


def test_a_continuation_shows_what_came_of_the_earlier_pitch(stage: Stage, company: Company) -> None:
    [offer] = stage.offered(amount="2000")
    allocation = stage.accepted(offer)
    spend(stage, allocation, 250)

    pitch = continued(stage, offer.pitch)

    earlier = earlier_shown(company.bo, pitch)
    assert earlier is not None
    assert (earlier.outcome, earlier.allocation, earlier.awarded, earlier.spent, earlier.utilisation) == (
        "Funded",
        allocation,
        Decimal(2000),
        Decimal(500),
        Decimal("0.25"),
    )
    for path in ("edit/", ""):
        page = company.client(company.ana).get(of(path, pitch))
        assert_readable(page)
        facts = page_of(page).one("section", aria_label="What it continues").text
        for words in ("Funded", "$2,000", allocation.number, "$500", "25 % of the award"):
            assert words in facts
    services.pitch_submit(actor=company.ana, pitch=pitch, content=draft_of(pitch))
    pitch.refresh_from_db()
    stage.peek(company.dee, pitch)
    read = f"/admin/pitches/round/pitch/{pitch.pk}/"
    assert "25 % of the award" in company.client(company.dee).get(read).content.decode()


def spend(stage: Stage, allocation: Allocation, millions: int) -> None:
    """Make one call on the standard line, where a million input tokens cost two dollars."""
    key, _ = key_issue(actor=stage.company.ana, allocation=allocation, name="prod")
    line, model = allocation.lines.get(tier=Tier.STANDARD), stage.models[Tier.STANDARD]
    rate, counts = model.rates.get(approved_at__isnull=False), Tokens(input=millions * 1_000_000)
    facts = CallFacts(
        tokens=counts,
        cost=cost(rate, counts),
        account_id=line.account_id,
        team_id=allocation.team_id,
        key_id=key.pk,
        provider_id=model.provider_id,
        model_id=model.pk,
        rate_id=rate.pk,
        model_asked=model.name,
        model_returned=model.name,
        surface="chat/completions",
        streamed=False,
        settle_kind="exact",
    )
    till = Till()
    till.settle(till.admit(key, line, format(facts.cost, "f")), facts)


def test_what_was_not_awarded_has_no_figures(stage: Stage, company: Company) -> None:
    earlier = earlier_of(stage.submitted())

    assert (earlier.outcome, earlier.allocation, earlier.awarded, earlier.spent, earlier.utilisation) == (
        "Not decided yet",
        None,
        Decimal(0),
        Decimal(0),
        None,
    )


def test_who_sees_what_came_of_the_earlier_pitch(stage: Stage, company: Company) -> None:
    source = stage.submitted()
    services.recusal_declare(actor=company.eli, pitch=source, reason="My brother works there")
    pitch = continued(stage, source)
    services.pitch_submit(actor=company.ana, pitch=pitch, content=draft_of(pitch))
    services.recusal_declare(actor=company.fay, pitch=pitch, reason="I am joining that team")
    pitch.refresh_from_db()
    for member in (company.dee, company.gil):
        stage.peek(member, pitch)

    seen = {name for name in PEOPLE if earlier_shown(company.person(name), pitch) is not None}

    assert seen == {"ana", "bo", "dee", "gil", "hana", "jo"}


def test_what_was_never_submitted_can_be_copied_and_not_continued(stage: Stage, company: Company) -> None:
    source = stage.pitch()

    with pytest.raises(Refused) as refused:
        services.pitch_copy(
            actor=company.ana,
            source=source,
            typed=typed_last(source),
            round_=stage.round,
            team=company.claims,
            is_continuation=True,
        )

    assert refused.value.code == "never_submitted"


@pytest.mark.parametrize("change", ["NULL", "id"])
def test_what_a_pitch_continues_never_changes(stage: Stage, company: Company, change: str) -> None:
    source = stage.submitted()
    pitch = continued(stage, source)

    with pytest.raises(Error), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE pitches_pitch SET continues_id = {change} WHERE id = %s", [pitch.pk])  # noqa: S608
