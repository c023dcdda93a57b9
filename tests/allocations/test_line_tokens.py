"""A line's limit in tokens: set by the team's leads or finance, with a reason, and never past by any key."""

import json
from io import StringIO

import httpx2 as httpx
import pytest
from django.core.management import call_command

from allocations.models import AllocationLine, AllocationState, Quota
from allocations.selectors import figures_by_tier
from allocations.services import line_tokens_set
from ledger.checks import breaches
from ledger.models import Tier
from teams.errors import NotAllowed, Refused, WrongState
from tests.allocations.gateways import House, chat
from tests.allocations.test_reports import table
from tests.budget import Budget
from tests.pages import assert_readable, error_beside, page_of, rows, typed


def url(budget: Budget) -> str:
    return f"/allocations/{budget.claims.number}/"


def limit_of(line: AllocationLine) -> int | None:
    return Quota.objects.get(line=line).token_limit


@pytest.mark.django_db
def test_a_lead_limits_a_line_in_tokens_and_the_history_says_what_changed(budget: Budget) -> None:
    budget.call(tokens=1_500_000)
    client, page = budget.company.client(budget.company.ana), f"{url(budget)}lines/standard/tokens/"
    assert page_of(client.get(url(budget))).one("a", href=page).text == "Limit its tokens of the standard line …"

    refused = client.post(page, {"tokens": "1,499,999", "reason": "less"})
    assert error_beside(refused, "tokens") == "The line has used and holds 1,500,000 tokens: its limit cannot be lower."
    assert typed(refused, "tokens") == "1,499,999"
    assert_readable(refused)
    assert client.post(page, {"tokens": "2,000,000", "reason": "A pilot"}).status_code == 302

    shown = client.get(url(budget))
    assert_readable(shown)
    assert "1,500,000 of 2,000,000 tokens used" in page_of(shown).text
    assert rows(shown, "History, table")[0][1:] == [
        "Ana Example",
        "Token limit changed Standard line: none to 2,000,000",
        "A pilot",
    ]
    client.post(page, {"tokens": "", "reason": "The pilot is over"})
    assert limit_of(budget.line) is None
    audit = [tuple(row.values())[1:] for row in table("access-audit", budget)]
    claims = f"{budget.claims.number} Claims triage"
    words = "Line's token limit changed"
    assert (words, claims, "Standard line: 2,000,000 to none", "Ana Example", "The pilot is over") in audit


@pytest.mark.django_db
def test_it_is_the_business_of_leads_and_finance_while_the_allocation_lives(budget: Budget) -> None:
    company, line = budget.company, budget.line
    for person in (company.bo, company.cy, company.kim, company.jo):
        with pytest.raises(NotAllowed):
            line_tokens_set(actor=person, line=line, tokens=5, reason="x")
    for tokens, reason, code in ((5, " ", "reason_missing"), (0, "x", "limit_not_positive")):
        with pytest.raises(Refused) as refused:
            line_tokens_set(actor=company.hana, line=line, tokens=tokens, reason=reason)
        assert refused.value.code == code
    line_tokens_set(actor=company.hana, line=line, tokens=5, reason="x")
    assert figures_by_tier(budget.claims)[Tier.STANDARD].token_limit == limit_of(line) == 5

    type(budget.claims).objects.filter(pk=budget.claims.pk).update(state=AllocationState.EXPIRED)
    with pytest.raises(WrongState, match="is expired"):
        line_tokens_set(actor=company.hana, line=line, tokens=6, reason="x")


@pytest.mark.django_db
def test_the_quota_command_says_it_of_the_line_that_has_one(budget: Budget) -> None:
    budget.call()
    line_tokens_set(actor=budget.company.ana, line=budget.line, tokens=4_000_000, reason="A pilot")

    call_command("quota", budget.claims.number, "--json", stdout=(out := StringIO()))

    tiers = json.loads(out.getvalue())["tiers"]
    assert tiers["standard"]["tokens"] == {"limit": 4_000_000, "spent": 1_000_000, "held": 0, "available": 3_000_000}
    assert "tokens" not in tiers["frontier"]


@pytest.mark.usefixtures("module_database")
def test_no_key_of_the_line_gets_past_it(http: httpx.Client, house: House) -> None:
    purse = house.purse("50")
    line = purse.allocation.lines.get(tier=Tier.STANDARD)
    line_tokens_set(actor=house.actor, line=line, tokens=600, reason="A try")

    answers = [
        http.post("/v1/chat/completions", headers=purse.bearer, json=chat(max_tokens=100, model="tank-medium"))
        for _ in range(30)
    ]

    refused = next(answer for answer in answers if answer.status_code != 200)
    assert (refused.status_code, refused.json()["error"]["details"]["unit"]) == (429, "tokens")
    told = {line["tier"]: line for line in http.get("/v1/quota", headers=purse.bearer).json()["lines"]}["standard"]
    assert told["tokens"]["limit"] == 600
    assert 0 < told["tokens"]["spent"] == purse.quota().tokens_spent <= 600
    assert breaches() == []
