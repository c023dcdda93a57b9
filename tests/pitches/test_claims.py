"""Resolved claims: finance records what a claim came to, for ever, and everybody who decides reads it."""

import csv
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from ledger.money import usd
from ledger.selectors import today
from pitches import services
from pitches.models import ResolvedClaim
from pitches.questions import ValueKind
from pitches.selectors.claims import claims_counted
from pitches.services import Outturn
from teams.errors import NotAllowed, Refused
from teams.models import Team
from tests.cast import PEOPLE, Company
from tests.pages import assert_readable, error_beside, rows
from tests.pages import typed as stands_in
from tests.pitches.stage import Stage, queries_of

pytestmark = pytest.mark.django_db


def claim(stage: Stage, claimed: str, realised: str, /, **changes: Any) -> ResolvedClaim:
    """Record a saving of Claims that came to something."""
    outturn = Outturn(ValueKind.SAVING, usd(claimed), usd(realised), today())
    return services.claim_resolve(
        actor=stage.company.hana,
        team=stage.company.claims,
        outturn=replace(outturn, **changes),
        reason="Read in the books of the department.",
    )


def test_finance_records_what_a_claim_came_to(stage: Stage, company: Company) -> None:
    found = claim(stage, "1000", "250")

    assert (found.team, found.claimed, found.realised, found.recorded_by) == (
        company.claims,
        Decimal(1000),
        Decimal(250),
        company.hana,
    )


@pytest.mark.parametrize("name", ["gil", "dee", "ana", "ivo", "jo"])
def test_nobody_else_does(stage: Stage, company: Company, name: str) -> None:
    outturn = Outturn(ValueKind.SAVING, usd(1), usd(1), today())

    with pytest.raises(NotAllowed):
        services.claim_resolve(
            actor=company.person(name), team=company.claims, outturn=outturn, reason="Read in the books."
        )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"claimed": usd(0)}, "claimed"),
        ({"realised": usd(-1)}, "realised"),
        ({"realised": usd("0.001")}, "realised"),
        ({"resolved_on": date.max}, "resolved_on"),
    ],
)
def test_a_figure_that_cannot_be_is_refused(stage: Stage, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as refused:
        claim(stage, "1000", "250", **changes)

    assert (refused.value.code, refused.value.field) == ("invalid", field)


def test_a_wrong_record_is_replaced_and_counts_no_more(stage: Stage) -> None:
    wrong = claim(stage, "1000", "250")
    claim(stage, "1000", "900", replaces=wrong)

    assert [(row.claimed, row.realised) for row in claims_counted()] == [(Decimal(1000), Decimal(900))]
    with pytest.raises(Refused, match="resolved already"):
        claim(stage, "1000", "800", replaces=wrong)


def test_a_pitch_is_resolved_once_and_by_its_own_team(stage: Stage, company: Company) -> None:
    pitch = stage.submitted()
    claim(stage, "1000", "250", pitch=pitch)

    with pytest.raises(Refused) as refused:
        claim(stage, "1000", "300", pitch=pitch)
    assert refused.value.code == "resolved_already"
    theirs = Outturn(ValueKind.SAVING, usd(1), usd(1), today(), pitch)
    with pytest.raises(Refused, match="another team's"):
        services.claim_resolve(actor=company.hana, team=company.fraud, outturn=theirs, reason="Read in the books.")


def test_a_record_is_final(stage: Stage) -> None:
    claim(stage, "1000", "250")

    with pytest.raises(DatabaseError), transaction.atomic():
        ResolvedClaim.objects.update(realised=1000)


def test_the_page_is_for_those_who_decide_or_account(stage: Stage, company: Company) -> None:
    claim(stage, "1000", "1000")
    seen = {name: company.client(company.person(name)).get("/rounds/claims/").status_code for name in PEOPLE}

    assert {name for name, status in seen.items() if status == 200} == {"dee", "eli", "fay", "gil", "hana", "jo"}
    page = company.client(company.hana).get("/rounds/claims/")
    assert_readable(page)
    assert rows(page, "Factors, table") == [["Claims", "Saving", "1", "0.6800", "the policy value, 1 of 10 resolved"]]
    assert company.client(company.gil).get("/rounds/claims/new/").status_code == 404


def test_finance_types_one_and_keeps_what_was_typed_when_it_is_refused(stage: Stage, company: Company) -> None:
    hana = company.client(company.hana)
    typed = {
        "team": Team.objects.get(name="Claims").pk,
        "value_kind": "saving",
        "claimed": "1,000",
        "realised": "250",
        "resolved_on": (today() + timedelta(days=1)).isoformat(),
        "reason": "Read in the books of the department.",
    }

    wrong = hana.post("/rounds/claims/new/", typed)
    assert (wrong.status_code, stands_in(wrong, "claimed")) == (422, "1,000")
    assert "not come yet" in error_beside(wrong, "resolved_on")
    hana.post("/rounds/claims/new/", typed | {"resolved_on": today().isoformat()})

    table = b"".join(hana.get("/rounds/claims.csv")).decode()
    [line] = csv.DictReader(StringIO(table))
    assert (line["Team"], line["Claimed, USD"], line["Realised, USD"], line["Counts"]) == (
        "Claims",
        "1000",
        "250",
        "yes",
    )


def test_it_takes_as_many_queries_for_three_claims_as_for_one(stage: Stage, company: Company) -> None:
    hana = company.client(company.hana)
    claim(stage, "1000", "250")
    one = queries_of(hana, "/rounds/claims/")
    claim(stage, "2000", "250")
    claim(stage, "3000", "250", replaces=ResolvedClaim.objects.order_by("pk").first())

    assert queries_of(hana, "/rounds/claims/") == one
