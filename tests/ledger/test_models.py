"""Backups and aliases of models: what a platform admin may set, and what the database refuses whoever asks."""

from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from ledger.models import AiModel, Dialect, ModelAlias, Provider, Tier
from ledger.services import (
    ModelFacts,
    alias_remove,
    alias_set,
    model_add,
    model_register,
    model_update,
    provider_add,
    rates_import,
)
from teams.errors import NotAllowed, Refused
from teams.models import AuditEvent
from tests.cast import Company

pytestmark = pytest.mark.django_db

FACTS = ModelFacts(Tier.STANDARD, 128_000, 4096, 16, is_enabled=True)


def provider(company: Company, name: str, dialect: Dialect = Dialect.OPENAI) -> Provider:
    return provider_add(actor=company.ivo, name=name, dialect=dialect, base_url="https://api.example", api_key="k")


@pytest.fixture
def main(company: Company) -> AiModel:
    return model_register(actor=company.ivo, provider=provider(company, "opal"), name="astra", facts=FACTS)


def backup(company: Company, main: AiModel, name: str = "astra-two") -> AiModel:
    facts = replace(FACTS, backup_of=main, backup_place=1, upstream_name="astra")
    return model_register(actor=company.ivo, provider=provider(company, name), name=name, facts=facts)


def add(company: Company, at: Provider, name: str, tier: Tier) -> AiModel:
    price = Decimal(1)
    return model_add(actor=company.system, provider=at, name=name, tier=tier, input_price=price, output_price=price)


# --- Backups -------------------------------------------------------------------------------------------------


def test_a_backup_is_a_model_of_its_own_that_the_provider_knows_by_another_name(
    company: Company, main: AiModel
) -> None:
    second = backup(company, main)
    assert list(main.backups.values_list("name", "upstream_name", "backup_place")) == [("astra-two", "astra", 1)]
    assert AuditEvent.objects.latest("pk").details["backup_of"] == "astra"
    model_update(actor=company.ivo, model=second, facts=FACTS)
    assert not main.backups.exists()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("itself", "not its own backup"),
        ("chain", "is a backup itself"),
        ("has backups", "has backups itself"),
        ("tier", "of the same tier"),
        ("dialect", "speaks OpenAI"),
    ],
)
def test_a_backup_that_could_not_answer_is_refused_by_service_and_database(
    company: Company, main: AiModel, wrong: str, words: str
) -> None:
    second = backup(company, main)
    other = provider(company, "anthracite", Dialect.ANTHROPIC) if wrong == "dialect" else main.provider
    third = model_register(actor=company.ivo, provider=other, name="third", facts=FACTS)
    model, stands_for, tier = {
        "itself": (main, main, Tier.STANDARD),
        "chain": (third, second, Tier.STANDARD),
        "has backups": (main, third, Tier.STANDARD),
        "tier": (third, main, Tier.ECONOMY),
        "dialect": (third, main, Tier.STANDARD),
    }[wrong]

    with pytest.raises(Refused, match=words) as refused:
        model_update(actor=company.ivo, model=model, facts=replace(FACTS, backup_of=stands_for, tier=tier))
    with pytest.raises((DatabaseError, IntegrityError)):
        set_at_once(model, backup_of=stands_for, tier=tier)

    assert (refused.value.code, refused.value.field) == ("backup_unfit", "backup_of")


def set_at_once(model: AiModel, **values: object) -> None:
    with transaction.atomic():
        AiModel.objects.filter(pk=model.pk).update(**values)
        connection.check_constraints()


def test_the_sandbox_may_stand_in_for_any_model(company: Company, main: AiModel) -> None:
    sandbox = provider_add(actor=company.ivo, name="sandbox", dialect=Dialect.SANDBOX)
    model_register(actor=company.ivo, provider=sandbox, name="box", facts=replace(FACTS, backup_of=main))
    connection.check_constraints()
    assert main.backups.get().name == "box"


def test_backups_move_with_the_tier_of_their_model(company: Company, main: AiModel) -> None:
    second = backup(company, main)
    model_update(actor=company.ivo, model=main, facts=replace(FACTS, tier=Tier.ECONOMY))
    connection.check_constraints()
    assert AiModel.objects.get(pk=second.pk).tier == Tier.ECONOMY

    add(company, main.provider, "astra", Tier.FRONTIER)
    connection.check_constraints()
    assert AiModel.objects.get(pk=second.pk).tier == Tier.FRONTIER
    with pytest.raises(Refused, match="same tier"):
        add(company, second.provider, second.name, Tier.STANDARD)
    with pytest.raises(DatabaseError, match="different tiers"):
        set_at_once(main, tier=Tier.STANDARD)


# --- Aliases -------------------------------------------------------------------------------------------------


def test_an_alias_can_be_pointed_to_another_model_and_taken_away(company: Company, main: AiModel) -> None:
    alias = alias_set(actor=company.ivo, name=" fast ", model=main, note="For the triage")
    second = backup(company, main)
    assert alias_set(actor=company.ivo, name="fast", model=second) == alias
    assert ModelAlias.objects.get().model == second
    alias_remove(actor=company.ivo, alias=alias)
    assert not ModelAlias.objects.exists()
    events = AuditEvent.objects.filter(verb__startswith="alias.").order_by("pk").values_list("verb", "details")
    assert list(events) == [
        ("alias.set", {"name": "fast", "model": "astra"}),
        ("alias.set", {"name": "fast", "model": "astra-two"}),
        ("alias.remove", {"name": "fast"}),
    ]


@pytest.mark.parametrize("name", ["", "x" * 121, "a\nb", "tank/auto", "Tank/anything", "astra"])
def test_an_alias_is_never_reserved_nor_a_models_name(company: Company, main: AiModel, name: str) -> None:
    with pytest.raises(Refused) as refused:
        alias_set(actor=company.ivo, name=name, model=main)
    assert refused.value.field == "name"


@pytest.mark.parametrize("name", ["", "tank/auto", "astra"])
def test_the_database_refuses_such_an_alias_too(main: AiModel, name: str) -> None:
    with pytest.raises(DatabaseError):
        ModelAlias.objects.create(name=name, model=main)


def test_no_model_takes_the_name_of_an_alias(company: Company, main: AiModel) -> None:
    alias_set(actor=company.ivo, name="gpt-5.4", model=main)
    openai = provider_add(actor=company.ivo, name="openai", dialect=Dialect.OPENAI, base_url="https://a.example")
    with pytest.raises(Refused, match="is an alias"):
        model_register(actor=company.ivo, provider=main.provider, name="gpt-5.4", facts=FACTS)
    with pytest.raises(Refused, match="is an alias"):
        add(company, main.provider, "gpt-5.4", Tier.STANDARD)
    with pytest.raises(Refused, match="is an alias"):
        rates_import(actor=company.ivo, provider=openai, names=["gpt-5.4"])
    with pytest.raises(Refused, match="Tank's own"):
        model_register(actor=company.ivo, provider=main.provider, name="tank/auto", facts=FACTS)
    with pytest.raises(DatabaseError, match="never stands before a model"):
        AiModel.objects.create(provider=main.provider, name="gpt-5.4", tier=Tier.STANDARD)


def test_only_a_platform_admin_handles_aliases(company: Company, main: AiModel) -> None:
    alias = alias_set(actor=company.ivo, name="fast", model=main)
    with pytest.raises(NotAllowed):
        alias_set(actor=company.hana, name="fast", model=main)
    with pytest.raises(NotAllowed):
        alias_remove(actor=company.ana, alias=alias)


# --- In the admin --------------------------------------------------------------------------------------------


def test_the_admin_sets_backups_and_aliases_through_the_services(company: Company, main: AiModel) -> None:
    client, second = company.client(company.ivo), backup(company, main)
    sizes = {"context_window": "128000", "default_output_cap": "4096", "least_output_cap": "16", "is_enabled": "on"}
    changed = client.post(
        f"/admin/ledger/aimodel/{second.pk}/change/",
        sizes | {"tier": "standard", "upstream_name": "astra-2026", "backup_of": main.pk, "backup_place": "2"},
    )
    refused = client.post(
        f"/admin/ledger/aimodel/{main.pk}/change/", sizes | {"tier": "standard", "backup_of": main.pk}
    )
    client.post("/admin/ledger/modelalias/add/", {"name": "fast", "model": main.pk, "note": ""})
    taken = client.post("/admin/ledger/modelalias/add/", {"name": "astra", "model": main.pk, "note": ""})
    alias = ModelAlias.objects.get()
    client.post(f"/admin/ledger/modelalias/{alias.pk}/change/", {"model": second.pk, "note": "moved"})
    moved = ModelAlias.objects.get()
    client.post(f"/admin/ledger/modelalias/{alias.pk}/delete/", {"post": "yes"})

    second.refresh_from_db()
    assert (changed.status_code, second.upstream_name, second.backup_place) == (302, "astra-2026", 2)
    assert (refused.status_code, b"A model is not its own backup." in refused.content) == (200, True)
    assert (taken.status_code, b"never stands before a model" in taken.content) == (200, True)
    assert (moved.name, moved.model, moved.note) == ("fast", second, "moved")
    assert not ModelAlias.objects.exists()
    assert AuditEvent.objects.filter(verb="alias.remove").count() == 1
    assert company.client(company.hana).get("/admin/ledger/modelalias/").status_code in {302, 403}
