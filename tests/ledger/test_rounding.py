"""Nothing is rounded on the way in: what is not exact is refused at every door, and the smallest prices sum exactly."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from djmoney.money import Money

from allocations.models import StopBehaviour
from allocations.services import KeyLimits, allocation_create, grant_make, key_issue
from ledger.checks import breaches
from ledger.forms import AdjustmentForm, AmountField, ConvertForm, DelegateForm, FundForm, RateForm
from ledger.models import Account, AccountBalance, EntryKind, Tier, UsageDay, UsageHour, UsagePosting
from ledger.money import InexactAmount, usd
from ledger.selectors import balance, current_fiscal_year, reserve_account, today
from ledger.services import (
    Leg,
    adjustment_propose,
    entry_post,
    exchange_rate_record,
    model_add,
    pool_delegate,
    pool_open,
    pool_return,
    reserve_convert,
    usage_post,
    year_cut,
    year_fund,
)
from tests.allocations.desk import open_desk
from tests.budget import Budget
from tests.conftest import FreshDatabase
from tests.processes import manage

Door = Callable[[Budget, Any], object]
TOO_FINE = Decimal("1e-13")


def _money(amount: Any) -> Money:
    return Money(amount, "USD")


def _legs(budget: Budget, amount: Any) -> list[Leg]:
    return [Leg(budget.pool, amount), Leg(reserve_account(), -amount)]


DOORS: dict[str, Door] = {
    "year_fund": lambda b, x: year_fund(actor=b.company.hana, amount=_money(x), reason="x"),
    "year_cut": lambda b, x: year_cut(actor=b.company.hana, year=current_fiscal_year(), amount=_money(x), reason="x"),
    "pool_open": lambda b, x: pool_open(
        actor=b.company.system, code="pool:x", name="x", amount=_money(x), reason="x", key="x"
    ),
    "pool_return": lambda b, x: pool_return(actor=b.company.system, pool=b.pool, amount=_money(x), reason="x", key="x"),
    "pool_delegate": lambda b, x: pool_delegate(
        actor=b.company.hana, unit=b.company.insurance, amount=_money(x), reason="x"
    ),
    "entry_post": lambda b, x: entry_post(
        actor=b.company.system, kind=EntryKind.POOL_OPEN, source="x", key="x", legs=_legs(b, x)
    ),
    "adjustment_propose": lambda b, x: adjustment_propose(actor=b.company.hana, legs=_legs(b, x), reason="x"),
    "exchange_rate_record": lambda b, x: exchange_rate_record(
        actor=b.company.hana, base="USD", quote="EUR", valid_on=today(), rate=x, source="x"
    ),
    "reserve_convert": lambda b, x: reserve_convert(
        actor=b.company.hana, year=current_fiscal_year(), amount=_money(x), into="EUR", reason="x", key="x"
    ),
    "grant_make": lambda b, x: grant_make(
        actor=b.company.hana, team_name="Claims", amount=_money(x), tier=Tier.STANDARD, reason="x"
    ),
    "allocation_create": lambda b, x: allocation_create(
        actor=b.company.system,
        team=b.company.claims,
        owner=b.company.ana,
        name="x",
        lines={Tier.STANDARD: x},
        funded_from=b.pool,
        kind=EntryKind.AWARD,
        starts_on=today(),
        ends_on=today(),
        stop_behaviour=StopBehaviour.STOP,
        reason="x",
        key="x",
    ),
    "key_issue": lambda b, x: key_issue(actor=b.company.ana, allocation=b.claims, name="x", limits=KeyLimits(cap=x)),
}


@pytest.mark.parametrize("amount", [TOO_FINE, Decimal("1.0000000000001"), Decimal("NaN"), Decimal("Infinity")])
@pytest.mark.parametrize("door", DOORS)
def test_what_is_not_exact_is_refused_at_every_door(budget: Budget, door: str, amount: Any) -> None:
    before = {row.pk: row.balance for row in _balances()}
    with pytest.raises(InexactAmount):
        DOORS[door](budget, amount)
    assert {row.pk: row.balance for row in _balances()} == before


TAKE_NUMBERS = ["entry_post", "adjustment_propose", "exchange_rate_record", "allocation_create", "key_issue"]


@pytest.mark.parametrize("amount", [0.1, 1.0, float("nan")])
@pytest.mark.parametrize("door", [*TAKE_NUMBERS, "usd"])
def test_no_float_is_money(budget: Budget, door: str, amount: float) -> None:
    """Money itself would take a float and hide it; `usd`, which makes all of ours, does not."""
    with pytest.raises(InexactAmount):
        (DOORS | {"usd": lambda _, x: usd(x)})[door](budget, amount)


def _balances() -> list[AccountBalance]:
    return list(AccountBalance.objects.all())


@pytest.mark.parametrize("form", [FundForm, DelegateForm, ConvertForm, AdjustmentForm, RateForm])
@pytest.mark.parametrize("typed", ["0.0000000000001", "1e-13", "0,1", "NaN", "inf"])
@pytest.mark.django_db
def test_no_form_takes_it_either(form: Any, typed: str) -> None:
    made = form()
    names = [name for name, field in made.fields.items() if isinstance(field, AmountField)]
    assert names
    filled = form(dict.fromkeys(names, typed))
    assert all(filled.errors.get(name) for name in names)


@pytest.mark.parametrize("typed", ["0.0000000000001", "1e-13"])
def test_no_command_takes_it_either(module_database: FreshDatabase, typed: str) -> None:
    done = manage("fund", "--amount", typed, "--reason", "x", env=module_database.env)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


# Of a request's id the first 48 bits are the time; the rest counts.
MILLION = """
INSERT INTO ledger_usagerecord (
    request_id, sent_at, settled_at, account_id, team_id, key_id, provider_id, model_id, rate_id, model_asked,
    model_returned, surface, streamed, input_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
    output_tokens, reasoning_tokens, currency, cost, charged, overage, settle_kind, service_tier, upstream_id, tags)
SELECT (left(ledger_uuid_floor(now())::text, 24) || lpad(to_hex(n), 12, '0'))::uuid, now(), now(), %(account)s,
       %(team)s, %(key)s, %(provider)s, %(model)s, %(rate)s, 'm',
       'm', 'chat/completions', false, 1, 0, 0, 0,
       0, 0, 'USD', 0.000000125, 0.000000125, 0, 'exact', '', '', '{}'
  FROM generate_series(1, 1000000) n
"""


@pytest.mark.slow
def test_a_million_calls_of_an_eighth_of_a_millionth_of_a_dollar_sum_exactly(fresh_database: FreshDatabase) -> None:
    """Real records, rolled up and posted: 1,000,000 x 0.000000125 is an eighth of a dollar, to the last digit."""
    desk = open_desk()
    model_add(
        actor=desk.actor,
        provider=desk.model.provider,
        name="tank-tiny",
        tier=Tier.STANDARD,
        input_price=Decimal("0.125"),
        output_price=Decimal("0.125"),
    )
    rate = desk.model.provider.models.get(name="tank-tiny").rates.get()
    named = {
        "account": desk.line.account_id,
        "team": desk.allocation.team_id,
        "key": desk.key.pk,
        "provider": desk.model.provider_id,
        "model": rate.model_id,
        "rate": rate.pk,
    }
    with psycopg.connect(fresh_database.url) as owner:
        owner.execute(MILLION.encode(), named)
        owner.execute("UPDATE allocations_quota SET spent = spent + 0.125 WHERE id = ANY(%s)", [list(desk.chain)])

    usage_post(actor=desk.actor)

    eighth = Decimal("0.125")
    for rolled in (UsageHour.objects.get(), UsageDay.objects.get()):
        assert (rolled.records, rolled.cost, rolled.charged, rolled.overage) == (1_000_000, eighth, eighth, 0)
    assert (UsagePosting.objects.get().records, UsagePosting.objects.get().charged) == (1_000_000, eighth)
    assert balance(Account.objects.get(code="metered:sandbox")).amount == eighth
    assert balance(desk.line.account).amount == 50 - eighth
    assert breaches() == []
