"""The exact choice for programs: run, read, departed from, adopted and published under the rules of the pages."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from ledger.money import usd
from ledger.selectors import today
from pitches import services
from pitches.models import Decision, Force, Override, OverrideCategory, Pitch, ResolvedClaim
from pitches.questions import ValueKind
from pitches.services import Outturn
from teams.models import AuditEvent
from tests.cast import Company
from tests.pitches.endpoints import CHOICE, CHOICE_OF_PITCH, LONG, answers, status_of, without_scope
from tests.pitches.stage import Stage, queries_of
from tests.pitches.test_api_committee import HONEST, read, send, superuser
from tests.pitches.test_overrides import put

pytestmark = pytest.mark.django_db


def test_the_choice_is_run_overridden_adopted_and_published(stage: Stage, company: Company) -> None:
    low, high = put(stage, low="300", high="9000")
    gil, dee, at = company.client(company.gil), company.client(company.dee), f"rounds/{stage.round.pk}"

    assert read(gil, f"{at}/choice/") == {"choice": None}
    assert {row["pitch"] for row in read(gil, f"{at}/options/")["results"]} == {low.pk, high.pk}
    assert status_of(send(dee, f"{at}/choice/")) == (403, "not_allowed")
    assert outcomes(chosen(gil, at)) == {"Low": ("decline", "below_hurdle"), "High": ("fund", "selected")}
    body = {"force": "in", "category": "law", "reason": LONG}
    short = send(gil, f"pitches/{low.pk}/overrides/", {**body, "reason": "Because."})
    assert status_of(short) == (422, "reason_too_short")
    made = send(gil, f"pitches/{low.pk}/overrides/", body)
    assert (made.status_code, made.json()["cost"], made.json()["signed_by"]) == (201, "486", None)
    sign = f"overrides/{made.json()['id']}/sign/"
    assert status_of(send(gil, sign)) == (403, "not_allowed")
    assert send(dee, sign).json()["signed_by"] == "dee@acorn.example"
    assert read(dee, f"{at}/override-room/") == {"currency": "USD", "limit": "500", "moved": "486", "left": "14"}
    assert status_of(send(gil, f"{at}/choice/adopt/")) == (422, "stale")

    assert outcomes(chosen(gil, at))["Low"] == ("fund", "forced_in")
    whole, first = read(gil, f"{at}/choice/")["choice"], read(gil, f"{at}/choice/?limit=1")["choice"]
    assert (first["count"], first["previous"], first["results"]) == (2, None, whole["results"][:1])
    following = gil.get(first["next"]).json()["choice"]
    assert (following["next"], following["results"], following["worth"]) == (None, whole["results"][1:], whole["worth"])
    adopted = send(gil, f"{at}/choice/adopt/").json()["results"]

    assert [(row["pitch"], row["outcome"], list(row["lines"].values())) for row in adopted] == [
        (low.pk, "fund", ["486"]),
        (high.pk, "fund", ["486"]),
    ]
    assert read(dee, f"{at}/choice/")["choice"]["is_adopted"] is True
    assert status_of(company.client(company.cy).get(f"/api/v1/{at}/results/")) == (404, "not_found")
    send(gil, f"{at}/steps/publish/")
    told = read(company.client(company.cy), f"{at}/results/")
    assert {row["title"]: row["outcome"] for row in told["results"]} == {"Low": "fund", "High": "fund"}
    assert [row["signed_by"] for row in told["overrides"]] == ["Dee Example"]


def chosen(chair: Client, at: str) -> Any:
    """Ask for the choice, let the background work, and read it."""
    assert send(chair, f"{at}/choice/").status_code == 202
    services.choices_make_due()
    return chair.get(f"/api/v1/{at}/choice/")


def outcomes(answer: Any) -> dict[str, tuple[str, str]]:
    assert answer.status_code == 200, answer.content
    return {row["title"]: (row["outcome"], row["reason_code"]) for row in answer.json()["choice"]["results"]}


def test_the_chair_decides_by_hand_and_orders_the_waitlist(stage: Stage, company: Company) -> None:
    first, second = put(stage, first="9000", second="8000")
    gil, at = company.client(company.gil), f"rounds/{stage.round.pk}/waitlist/"
    body = {"outcome": "waitlist", "reason": "Good, behind the others.", "lines": {"economy": "486.00"}}

    assert read(gil, f"pitches/{first.pk}/decision/") == {"decision": None}
    assert status_of(send(gil, f"pitches/{first.pk}/decision/", {**body, "lines": {"gold": "1"}}, "put")) == (
        400,
        "invalid",
    )
    assert status_of(send(company.client(company.dee), f"pitches/{first.pk}/decision/", body, "put")) == (
        403,
        "not_allowed",
    )
    for pitch in (first, second):
        made = send(gil, f"pitches/{pitch.pk}/decision/", body, "put").json()["decision"]
        assert (made["outcome"], made["lines"], made["decided_by"]) == (
            "waitlist",
            {"economy": "486"},
            "gil@acorn.example",
        )
    assert [(row["place"], row["pitch"]) for row in read(gil, at)["results"]] == [(1, first.pk), (2, second.pk)]
    assert status_of(send(gil, f"pitches/{first.pk}/waitlist-raise/")) == (422, "first_already")
    assert send(gil, f"pitches/{second.pk}/waitlist-raise/").json() == {"pitch": second.pk, "place": 1}
    assert [row["pitch"] for row in read(gil, at)["results"]] == [second.pk, first.pk]


def test_finance_records_claims_and_the_committee_reads_them(stage: Stage, company: Company) -> None:
    hana, dee = company.client(company.hana), company.client(company.dee)
    body = {
        "team": "claims",
        "value_kind": "saving",
        "claimed": "1000",
        "realised": "250.50",
        "resolved_on": str(today()),
        "reason": "Read in the books.",
    }

    assert status_of(send(dee, "claims/", body)) == (403, "not_allowed")
    assert status_of(send(hana, "claims/", {**body, "team": "nobody"})) == (422, "unknown")
    made = send(hana, "claims/", body)
    again = send(hana, "claims/", {**body, "realised": "300", "replaces": made.json()["id"]})

    assert (made.status_code, made.json()["realised"], made.json()["counts"]) == (201, "250.5", True)
    assert again.json()["replaces"] == made.json()["id"]
    assert [(row["realised"], row["counts"]) for row in read(dee, "claims/")["results"]] == [
        ("300", True),
        ("250.5", False),
    ]
    [factor] = read(dee, "claims/factors/")["results"]
    assert (factor["team"], factor["value_kind"], factor["resolved"]) == ("claims", "saving", 1)
    assert ResolvedClaim.objects.count() == 2


# --- Who is kept out ------------------------------------------------------------------------------


def kept_out(stage: Stage) -> tuple[Pitch, dict[str, int]]:
    """Return a pitch that is being decided, with an override and a decision, from which Fay is recused."""
    company = stage.company
    low, _ = put(stage, nightjar="300", lapwing="9000")
    services.recusal_declare(actor=company.fay, pitch=low, reason=HONEST)
    services.selection_run(actor=company.gil, round_=stage.round)
    override = services.override_propose(
        actor=company.gil, pitch=low, force=Force.IN, category=OverrideCategory.LAW, reason=LONG
    )
    return low, {"round": stage.round.pk, "pitch": low.pk, "override": override.pk}


def test_strangers_and_superusers_find_no_endpoint_of_the_choice(stage: Stage, company: Company) -> None:
    _, place = kept_out(stage)
    before = AuditEvent.objects.count()
    # Finance works with claims, and a superuser may open every page that asks for no seat.
    seats = [one for one in CHOICE if "claim" not in one.path]

    told = answers(company.client(company.cy), place, [*CHOICE, *CHOICE_OF_PITCH])
    assert {name: said for name, said in told.items() if said != (404, "not_found")} == {}
    for person in (company.hana, superuser(company)):
        told = answers(company.client(person), place, [*seats, *CHOICE_OF_PITCH])
        assert {name: said for name, said in told.items() if said != (404, "not_found")} == {}

    assert (AuditEvent.objects.count(), Decision.objects.count()) == (before, 0)


def test_a_recused_member_finds_nothing_of_the_pitch(stage: Stage, company: Company) -> None:
    pitch, place = kept_out(stage)
    fay, at = company.client(company.fay), f"rounds/{stage.round.pk}"

    assert set(answers(fay, place, CHOICE_OF_PITCH).values()) == {(404, "not_found")}
    assert pitch.pk not in {row["pitch"] for row in read(fay, f"{at}/options/")["results"]}
    assert read(fay, f"{at}/overrides/")["results"] == []
    choice = read(fay, f"{at}/choice/")["choice"]
    assert (choice["hidden"], [row["title"] for row in choice["results"]]) == (1, ["Lapwing"])
    assert "Nightjar" not in str(choice)
    assert Override.objects.get().withdrawn_at is None


def test_a_token_needs_the_scope_of_the_choice(stage: Stage, company: Company) -> None:
    place = {"round": stage.round.pk, "pitch": stage.submitted().pk, "override": 1}

    assert without_scope(company.gil, place, [*CHOICE, *CHOICE_OF_PITCH]) == {(403, "scope_missing")}


def test_lists_of_the_choice_ask_as_often_for_three_rows_as_for_one(stage: Stage, company: Company) -> None:
    pitches = put(stage, one="300", two="310", three="320")
    client, at = company.client(company.gil), f"/api/v1/rounds/{stage.round.pk}"

    def more(pitch: Pitch, day: int) -> None:
        services.override_propose(
            actor=company.gil, pitch=pitch, force=Force.IN, category=OverrideCategory.LAW, reason=LONG
        )
        outturn = Outturn(ValueKind.SAVING, usd(100), usd(Decimal(day)), today())
        services.claim_resolve(actor=company.hana, team=company.claims, outturn=outturn, reason="Read in the books.")

    more(pitches[0], 1)
    lists = [f"{at}/overrides/", "/api/v1/claims/", "/api/v1/claims/factors/"]
    before = [queries_of(client, path) for path in [f"{at}/options/?limit=1", *lists]]
    for day, pitch in enumerate(pitches[1:], start=2):
        more(pitch, day)

    assert [queries_of(client, path) for path in [f"{at}/options/", *lists]] == before
