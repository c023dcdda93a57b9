"""Providers, models and the rate card."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit

from django.db import transaction
from django.db.models.functions import Now

from ledger import credentials
from ledger.models import AccountClass, AiModel, Dialect, Provider, Rate, RateSource, Tier
from ledger.price_list import PriceStep, PublishedPrice, published_price
from ledger.rating import price
from ledger.services.funding import account_open
from ledger.services.model_checks import move_backups, require_backup, require_model_name
from teams.access import require
from teams.errors import Refused, WrongState
from teams.models import User
from teams.services import audit_record

CLASSES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


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
    what input costs. Raises Refused (price_negative, provider_fixed, name_reserved, name_taken, backup_unfit).
    """
    require(actor, "ledger.add_aimodel", message="Only a platform admin adds models.")
    model = AiModel.objects.select_for_update().filter(name=name).first() or AiModel(name=name, provider=provider)
    if model.provider_id != provider.pk:
        raise Refused(f"Model {name} is served by {model.provider}.", code="provider_fixed")
    model.tier = tier
    model.context_window = context_window or model.context_window
    require_model_name(name)
    require_backup(model)
    model.full_clean()
    model.save()
    move_backups(model)
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
    further_steps: Sequence[PriceStep] = (),
    valid_from: datetime | None = None,
    note: str = "",
) -> Rate:
    """Propose prices in USD per million tokens, rounded half up to six places; in force once approved.

    A cache price that is not given is the input price. `further_steps` are the prices of longer calls; they are
    approved with the rate. Raises Refused (price_negative, step_size).
    """
    require(actor, "ledger.add_rate", message="Only finance and platform admins propose prices.")
    read, write, write_1h = (
        input_price if value is None else value
        for value in (cache_read_price, cache_write_5m_price, cache_write_1h_price)
    )
    first = PriceStep(0, input_price, read, write, write_1h, output_price)
    _require_step_sizes(further_steps)
    facts = {
        "model": model,
        "valid_from": valid_from or datetime.now(UTC),
        "source": source,
        "note": note[:200],
        "proposed_by": actor,
    }
    rate = Rate.objects.create(**facts, **_prices(first))
    for step in further_steps:
        Rate.objects.create(**facts, **_prices(step), base=rate, above_input_tokens=step.above_input_tokens)
    return rate


def _require_step_sizes(steps: Sequence[PriceStep]) -> None:
    sizes = [step.above_input_tokens for step in steps]
    if len(set(sizes)) < len(sizes) or min(sizes, default=1) < 1:
        message = "Each further step begins above another number of input tokens, which is at least 1."
        raise Refused(message, code="step_size", field="steps")


def _prices(step: PriceStep) -> dict[str, Decimal]:
    given = {name: getattr(step, name) for name in CLASSES}
    if any(not value.is_finite() or value < 0 for value in given.values()):
        raise Refused("A price cannot be negative.", code="price_negative")
    return {name: price(value) for name, value in given.items()}


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
        model = AiModel.objects.filter(name=name).first() or _model_of(provider, name, tier, price_now)
        if not _is_known(model, price_now):
            proposed.append(_propose_published(actor, model, price_now))
    return proposed


def _model_of(provider: Provider, name: str, tier: Tier | None, published: PublishedPrice) -> AiModel:
    require_model_name(name)
    return AiModel.objects.create(
        provider=provider,
        name=name,
        tier=tier or published.tier,
        context_window=published.context_window or AiModel._meta.get_field("context_window").default,
    )


def _is_known(model: AiModel, published: PublishedPrice) -> bool:
    latest = model.rates.filter(base=None).order_by("-valid_from", "-id").first()
    return latest is not None and [_facts(step) for step in latest.steps] == [
        (step.above_input_tokens, _prices(step)) for step in published.steps
    ]


def _facts(rate: Rate) -> tuple[int, dict[str, Decimal]]:
    return rate.above_input_tokens, {name: getattr(rate, name) for name in CLASSES}


def _propose_published(actor: User, model: AiModel, published: PublishedPrice) -> Rate:
    first, *further = published.steps
    return rate_propose(
        actor=actor,
        model=model,
        source=RateSource.PUBLISHED,
        input_price=first.input,
        output_price=first.output,
        cache_read_price=first.cache_read,
        cache_write_5m_price=first.cache_write_5m,
        cache_write_1h_price=first.cache_write_1h,
        further_steps=further,
    )


@transaction.atomic
def rate_approve(*, actor: User, rate: Rate) -> Rate:
    """Put a proposed rate with all its steps in force from its `valid_from` on; a step stands for its whole rate.

    Raises WrongState when it is approved already.
    """
    rate = Rate.objects.select_for_update(of=("self",)).get(pk=rate.base_id or rate.pk)
    require(actor, "ledger.approve_rate", rate, message="Finance approves prices, and nobody the one they proposed.")
    if rate.approved_at is not None:
        raise WrongState("This rate is approved already.", code="already_approved")
    steps = [step.pk for step in rate.steps]
    Rate.objects.filter(pk__in=steps).update(approved_by=actor, approved_at=Now())
    rate.refresh_from_db()
    audit_record(actor=actor, verb="rate.approve", target=rate, details={"model": rate.model.name, "steps": len(steps)})
    return rate
