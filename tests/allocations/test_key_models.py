"""Which models a key may call: set when it is issued and later, by the team, with a reason."""

from decimal import Decimal

import pytest

from allocations.models import QuotaKey
from allocations.services import key_issue, key_models_set, key_revoke
from ledger.models import AiModel, Tier
from ledger.services import model_add
from teams.errors import NotAllowed, Refused, WrongState
from teams.models import AuditEvent
from tests.budget import Budget
from tests.pages import assert_readable, page_of

pytestmark = pytest.mark.django_db


def model(budget: Budget, name: str, tier: Tier) -> AiModel:
    provider, price = budget.model.provider, Decimal(1)
    return model_add(
        actor=budget.company.system, provider=provider, name=name, tier=tier, input_price=price, output_price=price
    )


def may_call(key: QuotaKey) -> list[str]:
    return list(key.models.order_by("name").values_list("name", flat=True))


def test_a_key_may_be_limited_when_it_is_issued_and_later(budget: Budget) -> None:
    large = model(budget, "tank-large", Tier.FRONTIER)
    key, _ = key_issue(actor=budget.company.ana, allocation=budget.claims, name="night", models=[budget.model])
    assert may_call(key) == ["tank-small"]

    key_models_set(actor=budget.company.bo, key=key, models=[large, budget.model], reason="Harder cases")
    assert may_call(key) == ["tank-large", "tank-small"]
    key_models_set(actor=budget.company.bo, key=key, models=[], reason="Anything")
    assert may_call(key) == []
    history = AuditEvent.objects.filter(object_id=str(key.pk), object_type="allocations.quotakey").order_by("pk")
    assert [(event.verb, event.reason, event.details["models"]) for event in history] == [
        ("key.issue", "", ["tank-small"]),
        ("key.models_set", "Harder cases", ["tank-large", "tank-small"]),
        ("key.models_set", "Anything", []),
    ]


def test_a_key_is_not_limited_to_what_no_line_pays_for(budget: Budget) -> None:
    night = model(budget, "tank-night", Tier.BATCH)
    with pytest.raises(Refused, match="no line") as refused:
        key_issue(actor=budget.company.ana, allocation=budget.claims, name="night", models=[night])
    assert (refused.value.code, refused.value.field) == ("model_without_line", "models")
    with pytest.raises(Refused, match="no line"):
        key_models_set(actor=budget.company.ana, key=budget.prod, models=[night], reason="Cheap")


def test_only_the_team_changes_the_models_of_a_living_key_and_says_why(budget: Budget) -> None:
    company, only = budget.company, [budget.model]
    with pytest.raises(NotAllowed):
        key_models_set(actor=company.cy, key=budget.prod, models=only, reason="Mine")
    with pytest.raises(Refused) as refused:
        key_models_set(actor=company.ana, key=budget.prod, models=only, reason=" ")
    assert refused.value.code == "reason_missing"
    key_revoke(actor=company.ana, key=budget.prod, reason="Leaked")
    with pytest.raises(WrongState):
        key_models_set(actor=company.ana, key=budget.prod, models=only, reason="Late")


def test_the_pages_offer_the_models_of_the_allocations_tiers(budget: Budget) -> None:
    model(budget, "tank-large", Tier.FRONTIER)
    night = model(budget, "tank-night", Tier.BATCH)
    client, number = budget.company.client(budget.company.ana), budget.claims.number

    new = client.get(f"/allocations/{number}/keys/new/")
    offered = [box.text for box in page_of(new).one("fieldset").all("label")]
    refused = client.post(f"/allocations/{number}/keys/new/", {"name": "agent", "models": [night.pk]})
    issued = client.post(f"/allocations/{number}/keys/new/", {"name": "agent", "models": [budget.model.pk]})

    assert offered == ["tank-large (frontier)", "tank-small (standard)"]
    assert refused.status_code == 422
    assert 'value="agent"' in refused.content.decode()
    assert "tank-small" in issued.content.decode()
    key = QuotaKey.objects.get(name="agent")
    assert may_call(key) == ["tank-small"]


def test_the_keys_page_changes_its_models_with_a_reason(budget: Budget) -> None:
    large = model(budget, "tank-large", Tier.FRONTIER)
    client, url = (
        budget.company.client(budget.company.ana),
        f"/allocations/{budget.claims.number}/keys/{budget.prod.pk}/",
    )

    before = client.get(url)
    unsaid = client.post(f"{url}models/", {"models": [large.pk], "reason": ""})
    assert (unsaid.status_code, may_call(budget.prod)) == (422, [])
    changed = client.post(f"{url}models/", {"models": [large.pk], "reason": "Only the large one"}, follow=True)

    assert "every model of the allocation's tiers" in page_of(before).one("dl").text
    assert may_call(budget.prod) == ["tank-large"]
    assert "What triage-prod may call is changed." in page_of(changed).one("div", class_="toasts").text
    assert "Only the large one" in changed.content.decode()
    assert_readable(changed)
    # What may be called already stays on offer, so that saving the form takes nothing away unseen.
    AiModel.objects.filter(pk=large.pk).update(is_enabled=False)
    shown = page_of(client.get(url))
    assert [box.attrs["value"] for box in shown.all("input", checked="")] == [str(large.pk)]
