"""The admin of providers, models and prices; what the ledger recorded can only be read."""

from decimal import Decimal

import pytest

from ledger import credentials
from ledger.models import AiModel, JournalEntry, Provider, Rate
from ledger.selectors import rate_in_force
from teams.models import AuditEvent
from tests.budget import Budget
from tests.cast import PEOPLE, Company

pytestmark = pytest.mark.django_db

LISTS = {
    "provider": {"ivo", "jo"},
    "aimodel": {"ivo", "jo"},
    "rate": {"dee", "eli", "fay", "gil", "ivo", "jo"},
    "journalentry": {"jo"},
    "usagerecord": {"ivo", "jo"},
    "period": {"ivo", "jo"},
    "fiscalyear": {"ivo", "jo"},
}


@pytest.mark.parametrize(("model", "who"), LISTS.items())
def test_each_list_opens_for_its_roles(budget: Budget, model: str, who: set[str]) -> None:
    budget.call()
    opened = {
        name
        for name in PEOPLE
        if budget.company.client(budget.company.person(name)).get(f"/admin/ledger/{model}/").status_code == 200
    }

    assert opened == who


@pytest.mark.parametrize("model", ["journalentry", "usagerecord", "period", "fiscalyear"])
def test_what_was_recorded_is_not_added_changed_or_deleted(budget: Budget, model: str) -> None:
    client = budget.company.client(budget.company.jo)

    for path in ("add/", "1/change/", "1/delete/"):
        assert client.post(f"/admin/ledger/{model}/{path}", {"memo": "other"}).status_code in {302, 403}
    assert JournalEntry.objects.filter(memo="other").count() == 0


def test_a_provider_keeps_its_credential_encrypted_and_never_shows_it(company: Company) -> None:
    client = company.client(company.ivo)
    form = {"name": "acme", "dialect": "openai", "base_url": "https://api.acme.example/v1", "api_key": "sk-very-secret"}

    client.post("/admin/ledger/provider/add/", form | {"is_enabled": "on"})
    provider = Provider.objects.get(name="acme")
    page = client.get(f"/admin/ledger/provider/{provider.pk}/change/")
    client.post(f"/admin/ledger/provider/{provider.pk}/change/", {"base_url": "https://acme.example/v2", "api_key": ""})

    stored = Provider.objects.get(pk=provider.pk)
    assert b"sk-very-secret" not in page.content
    assert credentials.decrypt(bytes(stored.credential_encrypted)) == "sk-very-secret"
    assert (stored.base_url, stored.is_enabled) == ("https://acme.example/v2", False)
    assert AuditEvent.objects.latest("pk").verb == "provider.disable"


@pytest.mark.parametrize("address", ["ftp://acme.example", "acme.example", "javascript:alert(1)"])
def test_a_bad_address_is_refused_beside_the_field(company: Company, address: str) -> None:
    refused = company.client(company.ivo).post(
        "/admin/ledger/provider/add/", {"name": "acme", "dialect": "openai", "base_url": address, "api_key": ""}
    )

    assert refused.status_code == 200
    assert b"is not an http(s) address." in refused.content
    assert Provider.objects.count() == 0


def test_a_new_model_has_no_price_until_finance_approves_one(budget: Budget) -> None:
    client = budget.company.client(budget.company.ivo)
    sizes = {"context_window": "128000", "default_output_cap": "4096", "least_output_cap": "16", "is_enabled": "on"}
    provider = budget.model.provider_id

    client.post("/admin/ledger/aimodel/add/", sizes | {"provider": provider, "name": "tank-new", "tier": "economy"})
    model = AiModel.objects.get(name="tank-new")
    prices = dict.fromkeys(("input", "cache_read", "cache_write_5m", "cache_write_1h"), "0.000001") | {"output": "2.5"}
    added = client.post(
        "/admin/ledger/rate/add/",
        prices
        | {"model": model.pk, "valid_from_0": "2026-01-01", "valid_from_1": "00:00:00", "note": "by hand"}
        | {"further_steps-TOTAL_FORMS": "0", "further_steps-INITIAL_FORMS": "0"},
    )

    rate = Rate.objects.get(model=model)
    assert added.status_code == 302
    assert (rate.input, rate.output, rate.approved_at) == (Decimal("0.000001"), Decimal("2.5"), None)
    assert rate_in_force(model, rate.created_at) is None
    budget.company.client(budget.company.hana).post(f"/ledger/rates/{rate.pk}/approve/")
    assert rate_in_force(model, rate.created_at) == rate


def test_prices_of_longer_calls_are_proposed_with_the_price(budget: Budget) -> None:
    client, names = budget.company.client(budget.company.ivo), ("cache_read", "cache_write_5m", "cache_write_1h")
    base = dict.fromkeys(("input", *names, "output"), "1") | {"valid_from_0": "2026-01-01", "valid_from_1": "00:00:00"}
    management = {"further_steps-TOTAL_FORMS": "2", "further_steps-INITIAL_FORMS": "0"}

    def step(place: int, above: str, price: str) -> dict[str, str]:
        given = dict.fromkeys(("input", *names, "output"), price) | {"above_input_tokens": above}
        return {f"further_steps-{place}-{name}": value for name, value in given.items()}

    asked = base | management | {"model": budget.model.pk} | step(0, "200000", "2.5")
    refused = client.post("/admin/ledger/rate/add/", asked | step(1, "200000", "3"))
    added = client.post("/admin/ledger/rate/add/", asked | step(1, "0", ""))

    assert (refused.status_code, b"Please correct the duplicate" in refused.content) == (200, True)
    assert added.status_code == 302
    rate = Rate.objects.get(approved_at=None, base=None)
    assert [(one.above_input_tokens, one.input, one.output) for one in rate.steps] == [
        (0, Decimal(1), Decimal(1)),
        (200_000, Decimal("2.5"), Decimal("2.5")),
    ]
    shown = client.get(f"/admin/ledger/rate/{rate.pk}/change/")
    assert b"200000" in shown.content.replace(b",", b"")


def test_sizes_that_make_no_sense_are_refused(budget: Budget) -> None:
    sizes = {"context_window": "128000", "default_output_cap": "10", "least_output_cap": "16", "is_enabled": "on"}

    refused = budget.company.client(budget.company.ivo).post(
        f"/admin/ledger/aimodel/{budget.model.pk}/change/", sizes | {"tier": "economy"}
    )

    assert refused.status_code == 200
    assert AiModel.objects.get(pk=budget.model.pk).tier == "standard"


def test_a_price_is_never_changed_in_place(budget: Budget) -> None:
    rate = budget.model.rates.get()

    refused = budget.company.client(budget.company.ivo).post(f"/admin/ledger/rate/{rate.pk}/change/", {"input": "0"})

    assert refused.status_code == 403
