"""The admin of allocations and keys: read only, but for stopping a key that leaked."""

import pytest

from allocations.models import KeyState, QuotaKey
from allocations.services import threshold_alerts_raise
from tests.budget import Budget
from tests.cast import PEOPLE

pytestmark = pytest.mark.django_db

MODELS = ("allocation", "quotakey", "meterworker", "hold", "outsidecall", "budgetalert")


@pytest.mark.parametrize("model", MODELS)
def test_lists_open_for_operators_and_auditors(budget: Budget, model: str) -> None:
    budget.till.admit(budget.prod, budget.line, "1")
    budget.past_call(150)
    threshold_alerts_raise()
    opened = {
        name
        for name in PEOPLE
        if budget.company.client(budget.company.person(name)).get(f"/admin/allocations/{model}/").status_code == 200
    }

    assert opened == {"ivo", "jo"}


@pytest.mark.parametrize("model", ["allocation", "quotakey"])
def test_nothing_is_added_changed_or_deleted(budget: Budget, model: str) -> None:
    client, pk = (
        budget.company.client(budget.company.ivo),
        {"allocation": budget.claims.pk, "quotakey": budget.prod.pk}[model],
    )

    assert client.get(f"/admin/allocations/{model}/{pk}/change/").status_code == 200
    for path in ("add/", f"{pk}/change/", f"{pk}/delete/"):
        assert client.post(f"/admin/allocations/{model}/{path}", {"name": "other"}).status_code == 403


def test_a_platform_admin_finds_a_leaked_key_by_its_hint_and_revokes_it(budget: Budget) -> None:
    client, hint = budget.company.client(budget.company.ivo), budget.prod.secrets.get().hint

    found = client.get("/admin/allocations/quotakey/", {"q": hint})
    client.post("/admin/allocations/quotakey/", {"action": "revoke", "_selected_action": [budget.prod.pk]})

    assert b"triage-prod" in found.content
    assert b"triage-test" not in found.content
    key = QuotaKey.objects.get(pk=budget.prod.pk)
    assert (key.state, key.end_reason) == (KeyState.REVOKED, "Revoked in the admin by Ivo Example.")


def test_an_auditor_cannot_revoke(budget: Budget) -> None:
    client = budget.company.client(budget.company.jo)

    client.post("/admin/allocations/quotakey/", {"action": "revoke", "_selected_action": [budget.prod.pk]})

    assert QuotaKey.objects.get(pk=budget.prod.pk).state == KeyState.ACTIVE
