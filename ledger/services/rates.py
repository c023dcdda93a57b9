"""Providers, models and the rate card."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models.functions import Now

from ledger import credentials
from ledger.models import AccountClass, AiModel, Dialect, Provider, Rate, RateSource, Tier
from ledger.price_list import PublishedPrice, published_price
from ledger.rating import price
from ledger.services.funding import account_open
from teams.access import require
from teams.errors import Refused, WrongState
from teams.models import User
from teams.services import audit_record


@transaction.atomic
def provider_add(*, actor: User, name: str, dialect: Dialect, base_url: str = "", api_key: str = "") -> Provider:
    """Add an upstream, or change the address and credential of the one with that name; opens its accounts.

    Raises Refused (bad_base_url, dialect_fixed).
    """
    require(actor, "ledger.add_provider", message="Only a platform admin adds providers.")
    _require_url(dialect, base_url)
    provider = Provider.objects.select_for_update().filter(name=name).first() or Provider(name=name, dialect=dialect)
    if provider.dialect != dialect:
        raise Refused(f"Provider {name} speaks {provider.dialect}; add another one.", code="dialect_fixed")
    provider.base_url = base_url.rstrip("/")
    if api_key:
        provider.credential_encrypted = credentials.encrypt(api_key)
    provider.full_clean(exclude=["credential_encrypted"])
    provider.save()
    for account_class in (AccountClass.METERED, AccountClass.BILLED):
        account_open(
            code=f"{account_class.value}:{name}",
            name=f"{account_class.label}: {name}",
            account_class=account_class,
            provider=provider,
        )
    account_open(
        code=f"variance:{name}", name=f"Variance: {name}", account_class=AccountClass.VARIANCE, provider=provider
    )
    audit_record(actor=actor, verb="provider.set", target=provider, details={"base_url": provider.base_url})
    return provider


def _require_url(dialect: Dialect, base_url: str) -> None:
    if dialect == Dialect.SANDBOX and not base_url:
        return
    parts = urlsplit(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Refused(f"{base_url!r} is not an http(s) address.", code="bad_base_url", field="base_url")


@transaction.atomic
def model_add(
    *,
    actor: User,
    provider: Provider,
    name: str,
    tier: Tier,
    input_price: Decimal,
    output_price: Decimal,
    cache_read_price: Decimal | None = None,
    context_window: int | None = None,
) -> AiModel:
    """Add a model with an approved negotiated rate from now on, USD per million tokens.

    For a model that exists: set its tier and give it the new rate. Without a cache price, cached input costs
    what input costs. Raises Refused (price_negative, provider_fixed).
    """
    require(actor, "ledger.add_aimodel", message="Only a platform admin adds models.")
    model = AiModel.objects.select_for_update().filter(name=name).first() or AiModel(name=name, provider=provider)
    if model.provider_id != provider.pk:
        raise Refused(f"Model {name} is served by {model.provider}.", code="provider_fixed")
    model.tier = tier
    model.context_window = context_window or model.context_window
    model.full_clean()
    model.save()
    rate = rate_propose(
        actor=actor,
        model=model,
        source=RateSource.NEGOTIATED,
        input_price=input_price,
        output_price=output_price,
        cache_read_price=cache_read_price,
    )
    rate_approve(actor=actor, rate=rate)
    return model


@transaction.atomic
def rate_propose(
    *,
    actor: User,
    model: AiModel,
    source: RateSource,
    input_price: Decimal,
    output_price: Decimal,
    cache_read_price: Decimal | None = None,
    cache_write_5m_price: Decimal | None = None,
    cache_write_1h_price: Decimal | None = None,
    valid_from: datetime | None = None,
    note: str = "",
) -> Rate:
    """Propose prices in USD per million tokens, rounded half up to six places; in force once approved.

    A cache price that is not given is the input price. Raises Refused (price_negative).
    """
    require(actor, "ledger.add_rate", message="Only finance and platform admins propose prices.")
    given = (input_price, output_price, cache_read_price, cache_write_5m_price, cache_write_1h_price)
    if any(value is not None and (not value.is_finite() or value < 0) for value in given):
        raise Refused("A price cannot be negative.", code="price_negative")
    prices = [price(input_price if value is None else value) for value in given]
    return Rate.objects.create(
        model=model,
        valid_from=valid_from or datetime.now(UTC),
        input=prices[0],
        output=prices[1],
        cache_read=prices[2],
        cache_write_5m=prices[3],
        cache_write_1h=prices[4],
        source=source,
        note=note[:200],
        proposed_by=actor,
    )


@transaction.atomic
def rates_import(*, actor: User, provider: Provider, names: Sequence[str] = (), tier: Tier | None = None) -> list[Rate]:
    """Propose the published prices of models, by default of all that the provider has here; finance approves them.

    New names become models, in the tier given or the one that the price suggests. A price that is the one in
    force or already proposed is left alone. Raises Refused (price_unknown) for a model that nobody prices.
    """
    require(actor, "ledger.add_aimodel", message="Only a platform admin adds models.")
    proposed = []
    for name in names or provider.models.order_by("name").values_list("name", flat=True):
        price_now = published_price(Dialect(provider.dialect), name, datetime.now(UTC))
        if price_now is None:
            raise Refused(f"The price list of {provider.dialect} has no {name}.", code="price_unknown", field="model")
        model = AiModel.objects.filter(name=name).first() or AiModel.objects.create(
            provider=provider,
            name=name,
            tier=tier or price_now.tier,
            context_window=price_now.context_window or AiModel._meta.get_field("context_window").default,
        )
        if not _is_known(model, price_now):
            proposed.append(_propose_published(actor, model, price_now))
    return proposed


def _is_known(model: AiModel, published: PublishedPrice) -> bool:
    latest = model.rates.order_by("-valid_from", "-id").first()
    classes = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")
    return latest is not None and all(getattr(latest, name) == price(getattr(published, name)) for name in classes)


def _propose_published(actor: User, model: AiModel, published: PublishedPrice) -> Rate:
    return rate_propose(
        actor=actor,
        model=model,
        source=RateSource.PUBLISHED,
        input_price=published.input,
        output_price=published.output,
        cache_read_price=published.cache_read,
        cache_write_5m_price=published.cache_write_5m,
        cache_write_1h_price=published.cache_write_1h,
        note="Dearest step of a price that grows with the prompt." if published.is_stepped else "",
    )


@transaction.atomic
def rate_approve(*, actor: User, rate: Rate) -> Rate:
    """Put a proposed rate in force from its `valid_from` on. Raises WrongState when it is approved already."""
    rate = Rate.objects.select_for_update().get(pk=rate.pk)
    require(actor, "ledger.approve_rate", rate, message="Finance approves prices, and nobody the one they proposed.")
    if rate.approved_at is not None:
        raise WrongState("This rate is approved already.", code="already_approved")
    Rate.objects.filter(pk=rate.pk).update(approved_by=actor, approved_at=Now())
    rate.refresh_from_db()
    audit_record(actor=actor, verb="rate.approve", target=rate, details={"model": rate.model.name})
    return rate
