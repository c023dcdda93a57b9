"""Feeds as people add, change and switch them: a secret is taken and never shown, and what else was typed stays."""

import pytest
from django.test import Client

from ledger import credentials
from ledger.models import Feed, FeedKind, Provider
from tests.budget import Budget
from tests.cast import PEOPLE
from tests.pages import assert_readable, error_beside, page_of, typed

pytestmark = pytest.mark.django_db

BASE = "/ledger/reconciliation/feeds/"


@pytest.fixture
def ivo(budget: Budget) -> Client:
    return budget.company.client(budget.company.ivo)


def test_a_feed_is_added_changed_and_switched(budget: Budget, ivo: Client) -> None:
    provider = Provider.objects.get(name="sandbox")
    new = {"provider": provider.pk, "kind": FeedKind.OPENAI_USAGE, "base_url": "ftp://x", "credential": "sk-admin-1"}
    refused = ivo.post(f"{BASE}new/", new)
    assert (refused.status_code, typed(refused, "base_url"), typed(refused, "credential")) == (422, "ftp://x", "")
    assert "is not a plain http(s) address" in error_beside(refused, "base_url")

    added = ivo.post(f"{BASE}new/", new | {"base_url": ""}, follow=True)
    feed = Feed.objects.get()
    assert "is added" in page_of(added).text
    assert (feed.base_url, credentials.decrypt(bytes(feed.credential_encrypted))) == (
        "https://api.openai.com",
        "sk-admin-1",
    )
    form = ivo.get(f"{BASE}{feed.pk}/change/")
    assert (typed(form, "base_url"), typed(form, "credential")) == ("https://api.openai.com", "")
    ivo.post(f"{BASE}{feed.pk}/change/", {"base_url": "https://proxy.example", "project": "proj_1"})
    ivo.post(f"{BASE}{feed.pk}/off/")
    feed.refresh_from_db()
    assert (feed.base_url, feed.project, feed.is_enabled) == ("https://proxy.example", "proj_1", False)
    assert credentials.decrypt(bytes(feed.credential_encrypted)) == "sk-admin-1"
    ivo.post(f"{BASE}{feed.pk}/on/")
    assert Feed.objects.get().is_enabled


def test_finance_and_platform_admins_change_feeds_and_nobody_else(budget: Budget, ivo: Client) -> None:
    feed = Feed.objects.create(
        provider=Provider.objects.get(name="sandbox"), kind=FeedKind.SANDBOX, gives_tokens=True, gives_money=True
    )
    for path in ("new/", f"{feed.pk}/change/", f"{feed.pk}/off/"):
        answers = {n: budget.company.client(budget.company.person(n)).get(f"{BASE}{path}") for n in PEOPLE}
        assert {name for name, answer in answers.items() if answer.status_code == 200} == {"hana", "ivo"}
        assert_readable(answers["hana"])
    assert ivo.get(f"{BASE}{feed.pk}/sideways/").status_code == 404
