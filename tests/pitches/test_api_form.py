"""The pitch form for programs: what a round asks, drafts with a version, rows from CSV, estimates and quotes."""

import pytest

from ledger.money import usd
from ledger.selectors import today
from pitches import services
from pitches.forms.sheet import TEMPLATE
from pitches.models import Pitch, Round
from tests.cast import Company
from tests.pitches.endpoints import FORM, FORM_OF_ROUND, answers, status_of, without_scope
from tests.pitches.stage import Stage, calendar, queries_of, typed
from tests.pitches.test_api_committee import read, send, superuser

pytestmark = pytest.mark.django_db

TERMS = {
    "questions": [
        {
            "code": "legal_basis",
            "section": "data",
            "text": "On what legal basis?",
            "kind": "choice",
            "help": "",
            "choices": ["Contract", "Consent"],
            "is_required": True,
            "shown_when": {"field": "data_class", "answers": ["personal"]},
        }
    ],
    "checklist": [{"code": "retained", "text": "Nothing is kept longer than a year.", "explain_no": False}],
}


def prepared(company: Company) -> Round:
    return services.round_create(
        actor=company.gil, name="Q2", cap=usd("1000"), calendar=calendar(), starts_on=today(), months=3
    )


def test_what_a_round_asks_is_set_while_it_is_prepared_and_read_by_everybody(stage: Stage, company: Company) -> None:
    gil, path = company.client(company.gil), f"rounds/{prepared(company).pk}/questions/"

    assert send(gil, path, TERMS, "put").json() == TERMS
    assert read(gil, path) == TERMS
    bad = {**TERMS, "questions": [{**TERMS["questions"][0], "code": "Not a code"}]}
    refused = send(gil, path, bad, "put")
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "questions-0-code")
    # A draft is for those who prepare it; an open round is read by everybody and asks what it asks.
    assert status_of(company.client(company.cy).get(f"/api/v1/{path}")) == (404, "not_found")
    at = f"rounds/{stage.round.pk}/questions/"
    assert read(company.client(company.cy), at)["questions"] == []
    assert status_of(send(gil, at, TERMS, "put")) == (409, "wrong_state")
    assert status_of(send(company.client(company.cy), at, TERMS, "put")) == (403, "not_allowed")


def test_a_draft_is_begun_saved_and_never_overwritten(stage: Stage, company: Company) -> None:
    ana, bo = company.client(company.ana), company.client(company.bo)
    begun = send(bo, "pitches/", {"round": stage.round.pk, "team": "claims", "title": "Letters"})
    pitch = Pitch.objects.get()
    at = f"pitches/{pitch.pk}/draft/"
    draft = read(ana, at)
    assert (begun.status_code, draft["version"], draft["typed"]) == (201, 0, {"title": "Letters"})
    assert status_of(send(bo, "pitches/", {"round": stage.round.pk, "team": "fraud", "title": "x"})) == (
        422,
        "other_team",
    )

    saved = send(ana, at, {"version": 0, "typed": typed(company.kim)}, "put").json()
    late = send(bo, at, {"version": 0, "typed": {"title": "Mine"}}, "put")
    strange = send(bo, at, {"version": 1, "typed": {"titel": "Mine"}}, "put")

    assert (saved["version"], saved["faults"], {row["open"] for row in saved["progress"]}) == (1, {}, {0})
    assert status_of(late) == (409, "draft_conflict")
    assert (status_of(strange), strange.json()["error"]["field"]) == ((422, "invalid"), "titel")
    assert read(bo, at)["typed"]["title"] == "Claims triage"
    assert send(ana, f"pitches/{pitch.pk}/submit/").status_code == 201
    assert status_of(ana.get(f"/api/v1/{at}")) == (409, "wrong_state")


def test_a_co_applicant_writes_the_draft_and_names_nobody(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    named = typed(
        company.kim,
        **{"applicants-TOTAL_FORMS": "1", "applicants-0-email": "cy@acorn.example", "applicants-0-role": "Data"},
    )
    at = f"pitches/{pitch.pk}/draft/"
    assert status_of(company.client(company.cy).get(f"/api/v1/{at}")) == (404, "not_found")
    send(company.client(company.ana), at, {"version": 0, "typed": named}, "put")

    other = {**named, "title": "By Cy", "applicants-0-email": "dee@acorn.example"}
    saved = send(company.client(company.cy), at, {"version": 1, "typed": other}, "put").json()

    assert (saved["typed"]["title"], saved["typed"]["applicants-0-email"]) == ("By Cy", "cy@acorn.example")


def test_rows_are_checked_then_imported_all_or_nothing(stage: Stage, company: Company) -> None:
    pitch, ana = stage.pitch(), company.client(company.ana)
    at = f"pitches/{pitch.pk}/items/import/"

    bad = send(ana, at, {"text": TEMPLATE.replace("standard", "golden"), "version": 0})
    tried = send(ana, at, {"text": TEMPLATE, "version": 0, "dry_run": True}).json()
    done = send(ana, at, {"text": TEMPLATE, "version": 0}).json()
    late = send(ana, at, {"text": TEMPLATE, "version": 0, "replace": False})

    [problem] = bad.json()["problems"]
    assert (bad.status_code, problem["line"], problem["column"]) == (422, 2, "tier")
    assert (tried["imported"], tried["version"], len(tried["rows"])) == (False, 0, 1)
    assert (done["imported"], done["version"]) == (True, 1)
    assert status_of(late) == (409, "draft_conflict")
    pitch.refresh_from_db()
    assert pitch.draft["items-0-workflow"] == "Read and sort a claim"


def test_tokens_are_estimated_and_a_draft_is_priced_without_saving_it(stage: Stage, company: Company) -> None:
    pitch, ana = stage.pitch(), company.client(company.ana)

    estimate = send(ana, f"pitches/{pitch.pk}/items/estimate/", {"prompt": "x" * 400, "answer": "y" * 100}).json()
    empty = send(ana, f"pitches/{pitch.pk}/quote/")
    quote = send(ana, f"pitches/{pitch.pk}/quote/", {"typed": typed(company.kim)}).json()

    assert estimate["input"] == {"low": 88, "expected": 112, "high": 160}
    assert estimate["cached"] == {"low": 0, "expected": 0, "high": 0}
    assert status_of(empty) == (422, "nothing_asked")
    assert (quote["ask"], quote["months"], quote["unpriced"]) == ("2400", 6, 0)
    assert quote["asked_month"]["target"]["expected"] == "400"
    pitch.refresh_from_db()
    assert (pitch.draft_version, pitch.draft) == (0, {"title": "Claims triage"})


def test_a_lead_withdraws_a_pitch(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    at = f"pitches/{pitch.pk}/withdraw/"

    assert status_of(send(company.client(company.bo), at, {"reason": "No."})) == (403, "not_allowed")
    assert send(company.client(company.ana), at, {"reason": "Bought instead."}).json() == {
        "id": pitch.pk,
        "state": "withdrawn",
    }


def test_a_draft_that_missed_its_round_goes_on_in_another_one(stage: Stage, company: Company) -> None:
    pitch, ana = stage.pitch(), company.client(company.ana)
    at = f"pitches/{pitch.pk}/carry-over/"

    assert status_of(send(ana, at, {"round": 999_999})) == (404, "not_found")
    assert status_of(send(ana, at, {"round": stage.round.pk}))[0] in {409, 422}
    pitch.refresh_from_db()
    assert pitch.round == stage.round


# --- Who is kept out ------------------------------------------------------------------------------


def test_others_find_no_draft(stage: Stage, company: Company) -> None:
    pitch = stage.pitch()
    place = {"pitch": pitch.pk, "round": stage.round.pk}

    for person in (company.cy, company.dee, company.gil, company.hana):
        told = answers(company.client(person), place, FORM)
        assert {name: said for name, said in told.items() if said != (404, "not_found")} == {}

    pitch.refresh_from_db()
    assert (pitch.state, pitch.draft_version) == ("draft", 0)
    # Who runs the platform is in no team by that.
    somebody = company.client(superuser(company))
    assert status_of(send(somebody, "pitches/", {"round": stage.round.pk, "team": "fraud", "title": "x"}))[0] == 422


def test_a_token_needs_the_scope_of_pitches(stage: Stage, company: Company) -> None:
    place = {"pitch": stage.pitch().pk, "round": stage.round.pk}

    assert without_scope(company.ana, place, [*FORM, *FORM_OF_ROUND]) == {(403, "scope_missing")}


def test_a_draft_asks_as_often_for_three_rows_as_for_one(stage: Stage, company: Company) -> None:
    pitch, ana = stage.pitch(), company.client(company.ana)
    services.draft_save(actor=company.ana, pitch=pitch, typed=typed(company.kim), version=0)
    path = f"/api/v1/pitches/{pitch.pk}/draft/"
    before = queries_of(ana, path)
    rows = {f"items-{place}-{name}": "1000" for place in (1, 2) for name in ("calls_target", "input_tokens")}
    more = typed(company.kim, **{"items-TOTAL_FORMS": "3", **rows})
    services.draft_save(actor=company.ana, pitch=pitch, typed=more, version=1)

    assert queries_of(ana, path) == before
