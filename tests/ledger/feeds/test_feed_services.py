"""Feeds are added, changed and switched by finance and platform admins, one for each figure of a provider."""

import pytest
from django.db import IntegrityError, transaction

from ledger import credentials
from ledger.models import Feed, FeedKind
from ledger.providers.base import Span
from ledger.services.feeds import feed_add, feed_change, feed_switch
from ledger.services.fetching import feed_fetch
from teams.errors import NotAllowed, Refused
from teams.models import AuditEvent
from tests.cast import Company
from tests.ledger.feeds.conftest import DAY, a_provider

SECRET = "sk-admin-secret"


def test_a_feed_is_read_where_its_kind_is_served_and_history_knows_no_secret(company: Company) -> None:
    feed = feed_add(actor=company.hana, provider=a_provider(), kind=FeedKind.OPENAI_COSTS, credential=f" {SECRET} ")

    assert (feed.base_url, feed.gives_tokens, feed.gives_money, feed.is_enabled) == (
        "https://api.openai.com",
        False,
        True,
        True,
    )
    assert SECRET.encode() not in bytes(feed.credential_encrypted)
    assert credentials.decrypt(bytes(feed.credential_encrypted)) == SECRET
    event = AuditEvent.objects.get(verb="feed.add")
    assert event.details == {
        "kind": "openai_costs",
        "base_url": "https://api.openai.com",
        "project": "",
        "upstream": "",
        "has_new_credential": True,
    }


def test_a_second_source_of_one_figure_waits_until_the_first_is_off(company: Company) -> None:
    provider, actor = a_provider(), company.ivo
    first = feed_add(actor=actor, provider=provider, kind=FeedKind.ANTHROPIC_COST, credential=SECRET)
    feed_add(actor=actor, provider=provider, kind=FeedKind.ANTHROPIC_USAGE, credential=SECRET)

    for kind, code in ((FeedKind.ANTHROPIC_COST_REPORT, "money_taken"), (FeedKind.OPENAI_USAGE, "tokens_taken")):
        with pytest.raises(Refused) as refused:
            feed_add(actor=actor, provider=provider, kind=kind, credential=SECRET)
        assert refused.value.code == code

    assert not feed_switch(actor=actor, feed=first, is_enabled=False).is_enabled
    feed_add(actor=actor, provider=provider, kind=FeedKind.ANTHROPIC_COST_REPORT, credential=SECRET)
    with pytest.raises(Refused) as refused:
        feed_switch(actor=actor, feed=first, is_enabled=True)
    assert refused.value.code == "money_taken"
    with pytest.raises(IntegrityError), transaction.atomic():
        Feed.objects.filter(pk=first.pk).update(is_enabled=True)
    assert feed_add(actor=actor, provider=a_provider("other"), kind=FeedKind.OPENAI_COSTS, credential=SECRET).pk
    assert list(AuditEvent.objects.filter(verb="feed.off").values_list("object_id", flat=True)) == [str(first.pk)]


def test_a_feed_that_is_off_is_not_fetched(company: Company) -> None:
    feed = feed_add(actor=company.hana, provider=a_provider(), kind=FeedKind.OPENAI_COSTS, credential=SECRET)
    feed_switch(actor=company.hana, feed=feed, is_enabled=False)

    with pytest.raises(Refused) as refused:
        feed_fetch(actor=company.hana, feed=Feed.objects.get(), span=Span(DAY, DAY))
    assert refused.value.code == "feed_disabled"


def test_a_change_keeps_the_credential_unless_another_is_given(company: Company) -> None:
    feed = feed_add(actor=company.hana, provider=a_provider(), kind=FeedKind.OPENAI_USAGE, credential=SECRET)

    changed = feed_change(actor=company.hana, feed=feed, base_url="https://proxy.acme.example/v1/", project=" proj_a ")
    assert (changed.base_url, changed.project) == ("https://proxy.acme.example/v1", "proj_a")
    assert credentials.decrypt(bytes(changed.credential_encrypted)) == SECRET

    changed = feed_change(actor=company.hana, feed=feed, base_url="", credential="sk-admin-new")
    assert (changed.base_url, changed.project) == ("https://api.openai.com", "")
    assert credentials.decrypt(bytes(changed.credential_encrypted)) == "sk-admin-new"


@pytest.mark.parametrize(
    ("kind", "facts", "code", "field"),
    [
        (FeedKind.OPENAI_USAGE, {}, "credential_missing", "credential"),
        (FeedKind.OPENAI_USAGE, {"credential": "two words"}, "bad_credential", "credential"),
        (FeedKind.OPENAI_USAGE, {"credential": "k\nx: y"}, "bad_credential", "credential"),
        (FeedKind.OPENAI_USAGE, {"credential": "k", "base_url": "ftp://a.example"}, "bad_base_url", "base_url"),
        (FeedKind.OPENAI_USAGE, {"credential": "k", "base_url": "https://me:k@a.example"}, "bad_base_url", "base_url"),
        (FeedKind.OPENAI_USAGE, {"credential": "k", "base_url": "https://a.example?key=k"}, "bad_base_url", "base_url"),
        (FeedKind.ANTHROPIC_COST_REPORT, {"credential": "k", "project": "w"}, "project_unsupported", "project"),
    ],
)
def test_a_feed_that_could_not_be_read_is_refused(
    company: Company, kind: FeedKind, facts: dict[str, str], code: str, field: str
) -> None:
    with pytest.raises(Refused) as refused:
        feed_add(actor=company.hana, provider=a_provider(), kind=kind, **facts)
    assert (refused.value.code, refused.value.field) == (code, field)


@pytest.mark.parametrize("name", ["ana", "dee", "jo", "kim", "mia"])
def test_nobody_else_touches_a_feed(company: Company, name: str) -> None:
    provider, person = a_provider(), company.person(name)
    feed = feed_add(actor=company.hana, provider=provider, kind=FeedKind.SANDBOX)

    with pytest.raises(NotAllowed):
        feed_add(actor=person, provider=provider, kind=FeedKind.OPENAI_COSTS, credential=SECRET)
    with pytest.raises(NotAllowed):
        feed_change(actor=person, feed=feed, base_url="")
    with pytest.raises(NotAllowed):
        feed_switch(actor=person, feed=feed, is_enabled=False)
